"""What counts as an image of a folder: hidden names, links, closed folders, overlaps; and how the folder is split."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photographs import CLASSES, TEST_PER_CLASS, TRAIN_PER_CLASS, write_folder
from torchvision.datasets.folder import IMG_EXTENSIONS

from study.datasets import StreamedData, load_dataset
from study.datasets.baseline import held_images, linear_baseline
from study.datasets.folder_listing import IMAGE_SUFFIXES
from study.datasets.splits import drawn_split, stratified_split

IMAGES = len(CLASSES) * (TRAIN_PER_CLASS + TEST_PER_CLASS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path)


def loaded(folder: Path) -> StreamedData:
    data = load_dataset("imagefolder", folder.parent)
    assert isinstance(data, StreamedData)
    return data


def count(data: StreamedData) -> int:
    return sum(len(split.labels) for split in (data.train, data.validation, data.test))


def test_images_are_what_torchvision_takes_for_images() -> None:
    assert IMAGE_SUFFIXES == IMG_EXTENSIONS


def test_hidden_names_and_what_systems_leave_are_skipped_and_counted(folder: Path) -> None:
    ape = folder / "train" / "ape"
    for place in (ape / "._1.jpg", ape / "Thumbs.db", folder / "val" / "ape" / ".DS_Store"):
        place.write_bytes(b"no image")
    for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir"):
        shutil.copytree(ape, folder / "train" / name)
        shutil.copytree(folder / "train" / "bear", ape / name)
    data = loaded(folder)
    assert (data.num_classes, count(data)) == (len(CLASSES), IMAGES)
    assert data.summary.endswith("left out: 9 hidden")


def test_what_is_left_out_is_told_by_suffix(folder: Path) -> None:
    cat = folder / "train" / "cat"
    for name in ("a.gif", "b.GIF", "c.jfif", "notes"):
        (cat / name).write_bytes(b"")
    (cat / "away.jpg").symlink_to("nowhere.jpg")
    (folder / "train" / "stray.jpg").write_bytes(b"")
    said = loaded(folder).summary
    assert said == (
        f"imagefolder: 4 classes; 36 training, 4 validation and 12 test images in {folder}; left out: 2 .gif, "
        "1 in no class folder, 1 links to nothing, 1 .jfif, 1 without a suffix"
    )


def test_nothing_left_out_is_not_told(folder: Path) -> None:
    assert loaded(folder).summary.endswith(f"test images in {folder}")


def test_a_folder_that_cannot_be_read_is_an_error_and_no_smaller_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom no mode keeps out, as root, cannot close a folder: so the listing is refused as for anybody else."""
    closed, scan = folder / "train" / "cat" / "more", os.scandir
    closed.mkdir()

    def refuse(place: str) -> object:
        if Path(place) == closed:
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match=f"'imagefolder' cannot be read: .*Permission denied: '{closed}'"):
        loaded(folder)


def test_a_folder_that_links_to_itself_counts_once(folder: Path) -> None:
    ape = folder / "train" / "ape"
    (ape / "again").symlink_to(ape)
    (ape / "deep").mkdir()
    (ape / "deep" / "up").symlink_to("..")
    data = loaded(folder)
    assert count(data) == IMAGES
    assert data.left_out["met twice"] == 2


def test_an_image_with_two_names_in_a_class_counts_once(folder: Path) -> None:
    ape = folder / "train" / "ape"
    (ape / "linked.jpg").symlink_to("ä1.jpg")
    (ape / "second.jpg").hardlink_to(ape / "ä2.jpg")
    assert count(loaded(folder)) == IMAGES


@pytest.mark.parametrize("link", ["symbolic", "hard", "folder"])
def test_one_file_in_two_classes_is_refused(folder: Path, link: str) -> None:
    ape, bear = folder / "train" / "ape", folder / "train" / "bear"
    if link == "folder":
        (bear / "more").symlink_to(ape)
    else:
        (bear / "also.jpg").symlink_to(ape / "ä1.jpg") if link == "symbolic" else os.link(
            ape / "ä1.jpg", bear / "x.jpg"
        )
    with pytest.raises(ValueError, match=r"bear/.* and ape/.* in .* are one file, in two classes"):
        loaded(folder)


def overlap(kind: str, folder: Path) -> int:
    """Make test images of training images; how many."""
    train, val = folder / "train", folder / "val"
    if kind in {"val is a link to train", "val is a copy of train"}:
        shutil.rmtree(val)
        val.symlink_to("train") if kind == "val is a link to train" else shutil.copytree(train, val)
        return len(CLASSES) * TRAIN_PER_CLASS
    one, other = train / "cat" / "ä3.jpg", val / "cat" / "x.jpg"
    if kind == "linked":
        other.symlink_to(one)
    elif kind == "hard linked":
        other.hardlink_to(one)
    else:
        shutil.copy(one, val / "cat" / one.name)
    return 1


@pytest.mark.parametrize(
    "kind", ["val is a link to train", "val is a copy of train", "linked", "hard linked", "copied under its name"]
)
def test_an_image_in_train_and_val_is_refused(folder: Path, kind: str) -> None:
    shared = overlap(kind, folder)
    with pytest.raises(
        ValueError, match=f"{shared} of the test images are training images too.*cat/|{shared} of .*ape/"
    ):
        loaded(folder)


def test_another_image_of_the_same_name_is_another_image(folder: Path) -> None:
    """Numbered images of train and val have names in common."""
    assert (folder / "train" / "cat" / "ä1.jpg").exists()
    assert (folder / "val" / "cat" / "ä1.jpg").exists()
    assert count(loaded(folder)) == IMAGES


SIZES = st.lists(st.integers(2, 60), min_size=2, max_size=6)


def drawn(names: list[str]) -> set[str]:
    labels = np.unique([name.partition("/")[0] for name in names], return_inverse=True)[1]
    kept, taken = drawn_split(names, labels, 10)
    assert np.array_equal(np.sort(np.append(kept, taken)), np.arange(len(names)))
    for rows in (kept, taken):
        assert set(labels[rows]) == set(labels)
    return {names[row] for row in taken}


def class_names(sizes: list[int], width: int = 2) -> list[str]:
    return [f"class{label}/{number:0{width}}.jpg" for label, size in enumerate(sizes) for number in range(size)]


@given(SIZES)
def test_train_and_validation_have_one_of_each_class_at_least(sizes: list[int]) -> None:
    drawn(class_names(sizes))


@given(SIZES)
def test_what_a_name_is_drawn_for_depends_on_no_order(sizes: list[int]) -> None:
    names = class_names(sizes)
    assert drawn(names) == drawn(names[::-1])


@given(st.lists(st.integers(100, 200), min_size=2, max_size=4), st.integers(0, 99))
def test_an_image_that_is_added_or_removed_moves_no_other(sizes: list[int], number: int) -> None:
    """Of classes of 100 images or more: some name of each is drawn, but for one class in 37,000."""
    names = class_names(sizes, width=3)
    removed = names.pop(number)
    assert drawn([*names, removed]) - {removed} == drawn(names)


def test_an_image_that_is_added_to_a_folder_moves_no_other(folder: Path) -> None:
    before = {path: split for split in ("train", "validation") for path in paths(loaded(folder), split)}
    shutil.copy(folder / "train" / "bear" / "ä1.jpg", folder / "train" / "bear" / "new.jpg")
    after = {path: split for split in ("train", "validation") for path in paths(loaded(folder), split)}
    assert len(after) == len(before) + 1
    assert before.items() <= after.items()


def paths(data: StreamedData, split: str) -> list[str]:
    part = getattr(data, split)
    return [part.path(row) for row in range(len(part.labels))]


def test_a_tenth_is_drawn() -> None:
    """Of 20,000 names 2,000, with a standard deviation of 42."""
    assert len(drawn(class_names([10_000, 10_000], width=5))) == pytest.approx(2_000, abs=170)


def test_classes_with_a_single_image_are_named(folder: Path) -> None:
    for name in ("bear", "drongo"):
        for path in sorted((folder / "train" / name).iterdir())[1:]:
            path.unlink()
    with pytest.raises(ValueError, match=r"2 train images in each; fewer are in bear, drongo$"):
        loaded(folder)


def test_the_linear_baseline_of_rare_classes_is_fitted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine in ten images are of one class, and a part that held no other could not be fitted."""
    for name in CLASSES[1:]:
        for path in sorted((folder / "train" / name).iterdir())[2:]:
            path.unlink()
    monkeypatch.setattr("study.datasets.baseline.STREAMED_IMAGES", 4)
    images = held_images(loaded(folder))
    for split in (images.train, images.validation, images.test):
        assert sorted(split.labels) == [0, 1, 2, 3]
    assert linear_baseline(images)["train_images"] == 4


@given(st.lists(st.integers(1, 200), min_size=2, max_size=8), st.data())
def test_a_stratified_part_has_one_of_each_class_first(sizes: list[int], data: st.DataObject) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    taken = data.draw(st.integers(len(sizes), sum(sizes)))
    _, rows = stratified_split(labels, taken)
    assert len(rows) == taken
    assert set(labels[rows]) == set(range(len(sizes)))


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
@pytest.mark.parametrize("itself", [False, True])
def test_the_test_folder_has_three_names_and_the_data_folder_may_hold_it_itself(
    folder: Path, name: str, itself: bool
) -> None:
    (folder / "val").rename(folder / name)
    data = load_dataset("imagefolder", folder if itself else folder.parent)
    assert count(data) == IMAGES
    assert data.test.folder == str(folder / name)


def test_a_folder_that_lacks_one_of_the_two_says_what_is_there(folder: Path) -> None:
    (folder / "val").rename(folder / "testing")
    for place in (folder, folder.parent):
        with pytest.raises(ValueError, match=rf"is not in .*; the folders in {folder} are testing, train$"):
            load_dataset("imagefolder", place)


def test_a_link_stays_a_link_for_every_node_to_follow(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sets").symlink_to(folder.parent)
    data = load_dataset("imagefolder", tmp_path / "sets")
    assert data.train.folder == str(tmp_path / "sets" / "imagefolder" / "train")


@pytest.mark.parametrize("text", ["many", "0", "-1", "1e9"])
def test_a_bound_on_pixels_that_is_no_number_is_refused(
    folder: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_MAX_IMAGE_PIXELS", text)
    with pytest.raises(ValueError, match=f"STUDY_MAX_IMAGE_PIXELS = '{text}': give a whole number"):
        loaded(folder)


def test_damaged_images_are_told_together_before_a_run(folder: Path) -> None:
    """Those of all splits, and no more than one line can hold."""
    data = loaded(folder)
    damaged = [*paths(data, "train")[:15], *paths(data, "validation"), *paths(data, "test")[:3]]
    for path in damaged:
        Path(path).write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"20 images cannot be decoded: .*study\.datasets check") as caught:
        held_images(data)
    told = str(caught.value)
    assert "\n" not in told
    assert [path in told for path in damaged] == [True] * 20 + [False] * 2
