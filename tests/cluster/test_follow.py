"""Following a job: what Ctrl-C does, and what is shown."""

import sys
from typing import Any

import pytest
from ray.job_submission import JobDetails, JobStatus, JobType

from study.cluster.follow import Follower, job_lines

LOG = ["begun\n", "1 of 2\n", "2 of 2\n"]


def details(status: JobStatus = JobStatus.SUCCEEDED, **fields: Any) -> JobDetails:
    return JobDetails(
        type=JobType.SUBMISSION, submission_id="job_1", status=status, entrypoint="python -m study.run", **fields
    )


class Server:
    """A job server whose user presses Ctrl-C after the second line."""

    address = "http://head:8265"

    def __init__(self) -> None:
        self.stopped = False

    def follow(self, job_id: str, say: Any, shown: int = 0) -> JobDetails:
        log = "".join(LOG) + "stopped\n" * self.stopped
        if self.stopped:
            say(log[shown:])
            return details(JobStatus.STOPPED)
        for line in LOG[:2]:
            say(line)
        raise KeyboardInterrupt

    def stop(self, job_id: str) -> bool:
        self.stopped = True
        return True


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the user answer so."""

    def answer(reply: Any) -> None:
        def reply_or_raise(_prompt: str) -> str:
            if isinstance(reply, type):
                raise reply
            return str(reply)

        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", reply_or_raise)

    return answer


@pytest.mark.parametrize("reply", ["s", "stop", " S"])
def test_after_ctrl_c_a_user_may_stop_the_job_and_sees_the_rest_of_its_log_once(
    answers: Any, capsys: pytest.CaptureFixture[str], reply: str
) -> None:
    answers(reply)
    assert Follower(Server(), "job_1").follow() == 130
    assert capsys.readouterr().out == "".join(LOG) + "stopped\n"


@pytest.mark.parametrize("reply", ["d", "", "what?", EOFError, KeyboardInterrupt])
def test_any_other_answer_detaches_and_says_how_to_come_back(
    answers: Any, capsys: pytest.CaptureFixture[str], reply: Any
) -> None:
    answers(reply)
    server = Server()
    assert Follower(server, "job_1").follow() == 0
    assert not server.stopped
    assert "python -m study.cluster logs job_1 --follow --address http://head:8265" in capsys.readouterr().out


def test_without_a_terminal_it_detaches(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    server = Server()
    assert Follower(server, "job_1").follow() == 0
    assert not server.stopped
    assert "python -m study.cluster stop job_1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "left_with", "code"),
    [(JobStatus.SUCCEEDED, 0, 0), (JobStatus.FAILED, 2, 2), (JobStatus.FAILED, None, 1), (JobStatus.STOPPED, 0, 130)],
)
def test_the_exit_code_is_the_runs(status: JobStatus, left_with: int | None, code: int) -> None:
    class Ended(Server):
        def follow(self, job_id: str, say: Any, shown: int = 0) -> JobDetails:
            return details(status, driver_exit_code=left_with)

    assert Follower(Ended(), "job_1").follow() == code


def test_a_jobs_line_tells_its_run_and_how_long_it_took_but_no_environment() -> None:
    job = details(
        metadata={"run": "shallow"},
        start_time=1_795_000_000_000,
        end_time=1_795_000_090_000,
        runtime_env={"env_vars": {"KEY": "secret"}},
    )
    (line,) = job_lines([job])
    assert line == "job_1  SUCCEEDED  shallow  begun 2026-11-18 11:06:40 UTC, 90.0 s"


def test_a_job_that_has_not_begun_says_so() -> None:
    (line,) = job_lines([details(JobStatus.PENDING)])
    assert line == "job_1  PENDING    -  not begun"
