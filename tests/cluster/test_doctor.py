"""The doctor on this machine, without Ray; on a cluster it is in test_cluster.py."""

import subprocess
import sys
from pathlib import Path

import pytest

from study.cluster import probe
from study.cluster.__main__ import main
from study.cluster.checks import findings
from study.cluster.doctor import examine_as_job, gather
from study.cluster.facts import Question


def test_a_machine_that_can_run_is_sound(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--storage", "results", "--dataset", "digits"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[1] for line in lines} >= {
        "nodes",
        "versions",
        "gpus",
        "memory",
        "shm",
        "storage",
        "data",
        "auth",
    }
    assert not list((elsewhere / "results").iterdir())  # its mark is taken away


def test_what_would_break_a_run_is_an_error_and_exit_code_1(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "results").write_text("a file in the way")
    assert main(["doctor", "--storage", "results", "--dataset", "cifar10", "--data-dir", "nowhere"]) == 1
    errors = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error")]
    assert [line.split()[1] for line in errors] == ["storage", "data"]
    assert "python -m study.datasets fetch cifar10" in errors[1]


def test_a_cluster_that_does_not_answer_is_refused_in_one_line() -> None:
    command = [sys.executable, "-m", "study.cluster", "doctor", "--address", "127.0.0.1:1"]  # no Ray of this process
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no Ray cluster answers at 127.0.0.1:1")
    assert done.stderr.count("\n") == 1


def test_keys_in_a_uri_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    place = "nowhere://key:secret@bucket/x?password=secret"
    assert gather(None, Question(place)).storage == "nowhere://bucket/x"
    assert main(["doctor", "--storage", place]) == 1
    said = capsys.readouterr()
    assert "nowhere://bucket/x" in said.out
    assert "secret" not in said.out + said.err


def test_a_question_becomes_options_again() -> None:
    question = Question("s3://b/s", "digits", Path("/data"))
    assert question.options == ["--storage", "s3://b/s", "--dataset", "digits", "--data-dir", "/data"]


def test_this_machine_answers_for_itself() -> None:
    facts = gather(None, Question())
    assert facts.nodes == []
    assert facts.driver.cpus >= 1
    assert facts.driver.code == probe.facts(None, None, None, None)["code"]
    assert findings(facts)


@pytest.mark.parametrize(("stored", "limit"), [("max", None), ("1048576", 1_048_576)])
def test_a_containers_memory_is_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: str, limit: int | None
) -> None:
    (tmp_path / "memory.max").write_text(f"{stored}\n")
    monkeypatch.setattr(probe, "MEMORY_LIMIT", tmp_path / "memory.max")
    measured = probe.facts(None, None, None, None)["memory_bytes"]
    assert measured == limit if limit else measured > 2**28


def test_keys_of_a_storage_never_become_part_of_a_job() -> None:
    question = Question(storage="s3://KEY:SECRET@bucket/studies")
    with pytest.raises(ValueError, match="keys in a URI would be shown with the job"):
        examine_as_job("http://127.0.0.1:1", question)
