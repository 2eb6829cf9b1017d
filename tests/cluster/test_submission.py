"""What a job consists of, and what is refused before anything is sent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bad_input import check_refused
from sweep_files import MY_SWEEP

from study.cluster.__main__ import main
from study.cluster.jobs import ATTEMPTS, NOT_READY, _patiently, _plain_errors, server_url
from study.cluster.submission import JOB_STORAGE, PACKAGES, STOP, USERS, environment, run_job, staged
from study.store.provenance import COMMIT_VARIABLE, commit

BAD_INPUT = [
    (["submit", "head", "deep_sweep"], "unknown sweep 'deep_sweep'"),
    (["submit", "head"], "name the sweep"),
    (["submit", "head", "replay", "run", "trial"], "name the sweep"),
    (["submit", "head", "depth_sweep", "--set", "depth=45"], "the nearest are 44 and 50"),
    (["submit", "head", "depth_sweep", "--frobnicate"], "unrecognized arguments: --frobnicate"),
    (["submit", "head", "depth_sweep", "--run", "../x"], "run name '../x'"),
    (["submit", "head", "depth_sweep", "--set", "initializer=magic"], "unknown initializer 'magic'"),
    (["submit", "head", "depth_sweep", "--address", "auto"], "--address"),
    (["submit", "head", "depth_sweep", "--storage", "here/runs"], "--storage here/runs: a job runs in a temporary"),
    (["submit", "head", "depth_sweep", "--storage", "nowhere://x"], "storage nowhere://x"),
    (["submit", "head", "depth_sweep", "--storage", "s3://key:secret@bucket/x"], "keys in a URI would be shown"),
    (["submit", "head", "depth_sweep", "--storage", "abfs://a@c/x?sv=1&sig=secret"], "keys in a URI would be shown"),
    (["submit", "head", "depth_sweep", "--data-dir", "data"], "--data-dir data: it is a folder of the head"),
    (["submit", "head", "nowhere.py"], "no such file"),
    (["submit", "ftp://head", "depth_sweep"], "HEAD 'ftp://head'"),
    (["submit", "127.0.0.1:1", "depth_sweep"], "no job server answers at http://127.0.0.1:1"),
    (["status", "--address", "127.0.0.1:1"], "no job server answers at http://127.0.0.1:1"),
    (["doctor", "--dataset", "mnist"], "dataset = 'mnist': no such data set"),
    (["doctor", "--address", "http://127.0.0.1:1"], "no job server answers at http://127.0.0.1:1"),
    (["doctor", "--address", "http://head", "--storage", "s3://key:secret@bucket/x"], "keys in a URI would be shown"),
    (
        ["doctor", "--address", "http://head", "--storage", "here/runs"],
        "--storage here/runs: a job runs in a temporary",
    ),
    (["cure"], "invalid choice: 'cure'"),
    ([], "the following arguments are required: COMMAND"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_INPUT, ids=lambda value: str(value)[:60])
def test_bad_input_gives_one_message_and_exit_code_2(
    elsewhere: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    check_refused(main, arguments, message, capfd)
    assert not list(elsewhere.iterdir())
    assert "RAY_API_SERVER_ADDRESS" not in os.environ


def test_a_job_runs_what_was_asked_on_the_cluster_and_keeps_results_out_of_its_own_folder() -> None:
    job = run_job(["depth_sweep", "--set", "depth=8", "--trials", "2"])
    assert job.command[:3] == ("python", "-m", "study.run")
    assert " ".join(job.command[3:]) == f"depth_sweep --set depth=8 --trials 2 --storage {JOB_STORAGE} --address auto"
    assert job.metadata == {"run": "depth_sweep-quick"}
    assert job.files == {}
    assert f"results in {JOB_STORAGE}/depth_sweep-quick" in job.summary


@pytest.mark.parametrize("place", ["/shared", "s3://bucket/studies?region=eu-west-1", "gs://bucket", "~/studies"])
def test_a_place_that_the_head_understands_is_left_alone(place: str) -> None:
    assert run_job(["depth_sweep", "--storage", place]).command[-4:] == ("--storage", place, "--address", "auto")


def test_words_that_a_shell_would_read_are_quoted() -> None:
    assert "'s3://b/s?a=1&b=2'" in run_job(["depth_sweep", "--storage", "s3://b/s?a=1&b=2"]).entrypoint


def test_a_users_own_sweep_travels_with_what_it_imports_apart_from_our_code(tmp_path: Path) -> None:
    """So it may even have the name of a package of ours."""
    (tmp_path / "my_recipes.py").write_text("from search_spaces.recipes import he_l2")
    (tmp_path / "models.py").write_text(MY_SWEEP.replace("search_spaces.recipes", "my_recipes"))
    (tmp_path / "notes.py").touch()
    job = run_job([str(tmp_path / "models.py")])
    assert job.command[3] == f"{USERS}/models.py"
    with staged(job.files) as folder:
        assert {path.name for path in folder.iterdir()} == {*PACKAGES, USERS}
        assert {path.name for path in (folder / USERS).iterdir()} == {"models.py", "my_recipes.py"}
        command = [sys.executable, *job.command[1:4], "--dry-run"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={"COLUMNS": "200"})
    assert "models-quick" in done.stdout, done.stderr


def test_what_travels_is_small_and_runs_by_itself(tmp_path: Path) -> None:
    with staged({}) as folder:
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 3_000_000
        assert not [path for path in files if path.suffix == ".pyc"]
        listed = subprocess.run(
            [sys.executable, "-m", "study.run"], cwd=folder, env={}, capture_output=True, text=True, check=True
        )
    assert "depth_sweep" in listed.stdout


def test_the_environment_stops_gently_and_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    told = environment()
    assert told == {**STOP, "RAY_AUTH_MODE": "token", COMMIT_VARIABLE: commit()}


def test_a_job_knows_the_commit_of_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMMIT_VARIABLE, "0123abc-dirty")
    assert commit() == "0123abc-dirty"


def test_a_dry_run_shows_the_command_and_sends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "127.0.0.1:1", "depth_sweep", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "python -m study.run depth_sweep" in said
    assert "--dry-run" not in said
    assert "Nothing was sent." in said


@pytest.mark.parametrize(
    ("head", "url"),
    [
        ("head", "http://head:8265"),
        ("10.0.0.1:99", "http://10.0.0.1:99"),
        ("http://head:8265", "http://head:8265"),
        ("http://head", "http://head:8265"),
        ("https://ray.example.org", "https://ray.example.org"),
        ("[::1]:8265", "http://[::1]:8265"),
    ],
)
def test_a_head_may_be_given_in_short(head: str, url: str) -> None:
    assert server_url(head) == url


@pytest.mark.parametrize("head", ["ftp://head", "head:port", "http://", "head:99999"])
def test_what_is_no_address_is_refused(head: str) -> None:
    with pytest.raises(ValueError, match="HEAD"):
        server_url(head)


def test_a_head_that_has_just_started_is_given_time() -> None:
    answers = iter([RuntimeError(f"status code 500: {NOT_READY} to submit job"), "job_1"])

    def send() -> str:
        answer = next(answers)
        if isinstance(answer, RuntimeError):
            raise answer
        return answer

    assert _patiently(send) == "job_1"


@pytest.mark.parametrize(("text", "times"), [(f"500: {NOT_READY}", ATTEMPTS), ("something else", 1)])
def test_a_head_that_takes_no_jobs_says_what_to_do(text: str, times: int) -> None:
    asked = []

    def send() -> str:
        asked.append(text)
        raise RuntimeError(text)

    with pytest.raises(ValueError, match=r"takes no jobs|says: something else"), _plain_errors("http://head:8265"):
        _patiently(send)
    assert len(asked) == times


@pytest.mark.parametrize("arguments", [["--help"], ["submit", "--help"], ["doctor", "--help"]], ids=str)
def test_help_teaches_at_once(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from study.cluster.__main__ import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "sys.exit(f'imported {heavy}' if (heavy := {'ray', 'torch', 'pandas'} & set(sys.modules)) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert "usage: python -m study.cluster" in done.stdout
