"""Listing and fetching: what they print, import and return, with and without a network."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import URLError

import pytest
from photographs import write_folder
from small_archives import ON_DISK, write_small

from study.datasets import DATASETS, load_dataset, readers
from study.datasets.__main__ import main


@pytest.fixture(autouse=True)
def _no_installed_fashion_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests mean the same on machines with and without Debian's package."""
    monkeypatch.setattr(readers, "DEBIAN_FASHION_MNIST", tmp_path / "not_installed")


def test_listing_shows_every_set(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--data-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, entry in DATASETS.items():
        (row,) = [line for line in lines if line.split()[:1] == [name]]
        counts = f"{entry.train_images:,}/{entry.validation_images:,}/{entry.test_images:,}"
        assert ("your own" if entry.is_own else counts) in row
        assert entry.licence in row
        assert entry.size in row
        assert ("yes" if name == "digits" else "no") in row.split()
    assert f"Looked in {tmp_path}" in lines


def test_listing_imports_nothing_heavy_and_writes_no_warning(tmp_path: Path) -> None:
    """Importing datasets with -m is what a user does, so a process of its own."""
    command = [sys.executable, "-W", "error", "-X", "importtime", "-m", "study.datasets", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "numpy" in imported
    assert not imported & {"torch", "torchvision", "ray", "sklearn", "scipy", "pandas"}
    assert all(line.startswith("import time:") for line in done.stderr.splitlines())
    assert "fashion_mnist" in done.stdout


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "python -m study.datasets fetch cifar10" in capsys.readouterr().out


def test_fetching_digits_fetches_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "digits"]) == 0
    assert capsys.readouterr().out == "digits: embedded, nothing to fetch\n"


@pytest.mark.parametrize("name", ON_DISK)
def test_fetching_what_is_here_needs_no_network(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    cut_the_network(monkeypatch)
    write_small(name, tmp_path / "sets", monkeypatch)
    assert main(["fetch", name, "--data-dir", str(tmp_path / "sets")]) == 0
    assert capsys.readouterr().out == f"{name}: here, in {DATASETS[name].place(tmp_path / 'sets')}\n"


@pytest.mark.parametrize("name", ON_DISK)
def test_fetching_without_a_network_ends_with_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cut_the_network(monkeypatch)
    assert main(["--data-dir", str(tmp_path), "fetch", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {name} could not be fetched: ")
    assert "no network in this test" in line
    assert f"the folder {tmp_path}" in line
    assert ("apt-get install dataset-fashion-mnist" in line) == (name == "fashion_mnist")
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize("name", ON_DISK)
def test_fetching_what_is_truncated_does_not_say_it_is_here(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cut_the_network(monkeypatch)
    write_small(name, tmp_path / "sets", monkeypatch)
    path = DATASETS[name].source.files(tmp_path / "sets")[0]
    path.write_bytes(path.read_bytes()[:-1])
    assert main(["fetch", name, "--data-dir", str(tmp_path / "sets")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {name} could not be fetched: ")


def test_fetching_mends_the_file_that_is_damaged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The other files stay as they are."""
    write_small("fashion_mnist", tmp_path, monkeypatch)
    path = DATASETS["fashion_mnist"].source.files(tmp_path)[2]
    whole, brought = path.read_bytes(), []

    def bring(url: str, folder: Path, *, filename: str, md5: str) -> None:
        brought.append((url, md5))
        (folder / filename.removesuffix(".gz")).write_bytes(whole)

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", bring)
    path.write_bytes(whole[:-1])
    assert main(["fetch", "fashion_mnist", "--data-dir", str(tmp_path)]) == 0
    ((url, md5),) = brought
    assert url.endswith("/t10k-images-idx3-ubyte.gz")
    assert md5 == "bef4ecab320f06d8554ea6380940ec79"  # as published
    load_dataset("fashion_mnist", tmp_path)


def cut_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise socket.gaierror(-3, "no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for scheme in ("http", "https"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme.upper()}_PROXY", raising=False)


def test_a_strange_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bring", "digits"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


def test_fetching_an_unknown_set_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "mnist"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: dataset = 'mnist'")


@pytest.mark.parametrize("fault", [TimeoutError(), URLError("two\nlines"), PermissionError(13, "denied", "/sets")])
def test_every_fault_of_a_download_is_one_line(
    fault: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(*_: Any) -> NoReturn:
        raise fault

    monkeypatch.setattr(type(DATASETS["svhn"].source), "fetch", fail)
    assert main(["fetch", "svhn", "--data-dir", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_listing_says_what_a_folder_of_ones_own_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path)
    (folder / "train" / "cat" / "x.gif").write_bytes(b"")
    assert main(["--data-dir", str(tmp_path)]) == 0
    told = f"imagefolder: 4 classes; 36 training, 4 validation and 12 test images in {folder}; left out: 1 .gif"
    assert told in capsys.readouterr().out.splitlines()
    (folder / "val" / "cat").rename(folder / "val" / "kitten")
    assert main(["--data-dir", str(tmp_path)]) == 0
    assert "train and val must hold the same classes" in capsys.readouterr().out


@pytest.mark.parametrize("itself", [False, True])
def test_a_check_reads_all_images_and_names_the_damaged(
    itself: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path)
    command = ["check", str(folder if itself else tmp_path)]
    assert main(command) == 0
    assert capsys.readouterr().out.endswith("52 images read: 0 damaged, 0 also in another split\n")
    damaged = [
        folder / "train" / "ape" / "ä3.jpg",
        folder / "train" / "cat" / "ä4.jpg",
        folder / "val" / "cat" / "ä1.jpg",
    ]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:300])
    copy = folder / "val" / "bear" / "another name.jpg"
    copy.write_bytes((folder / "train" / "bear" / "ä5.jpg").read_bytes())
    assert main(command) == 2
    lines = capsys.readouterr().out.splitlines()
    for path in damaged:
        assert any(line.startswith(f"image {path} cannot be decoded: ") for line in lines)
    assert any(line.startswith(f"{copy} (test) has the bytes of ") for line in lines)
    assert lines[-1] == "53 images read: 3 damaged, 1 also in another split"
