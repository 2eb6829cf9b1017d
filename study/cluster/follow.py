"""Follow a job from a terminal: its log, what Ctrl-C does, and a line on its state."""

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from ray.job_submission import JobDetails, JobStatus

from study.cluster.jobs import JobServer, ended
from study.report.blocks import seconds
from study.run import FAILED
from study.terminal import INTERRUPTED

POLL_SECONDS = 0.5


class Follower:
    """Follows one job."""

    def __init__(self, server: JobServer, job_id: str) -> None:
        self.job_id = job_id
        self._server = server
        self._shown = 0  # characters of the log

    def follow(self) -> int:
        """Show the log until the job ends or the user detaches; what its run left with, 0 where it goes on."""
        try:
            return self._tail()
        except KeyboardInterrupt:
            if not self._asks_to_stop():
                self.tell_how_to_go_on()
                return 0
        self._server.stop(self.job_id)
        return self._tail()

    def stop(self) -> int:
        """Stop the job and wait for its end, which its own signal handling may take a while to reach."""
        if not self._server.stop(self.job_id):
            print(f"Job {self.job_id} had ended already.")
            return 0
        while not ended(self._server.info(self.job_id).status):
            time.sleep(POLL_SECONDS)
        print(f"Job {self.job_id} has stopped. What had finished is kept; submitting again goes on from there.")
        return 0

    def tell_how_to_go_on(self) -> None:
        """The commands that follow, ask and stop."""
        where = f"--address {shlex.quote(self._server.address)}"
        print(
            f"The job goes on.\n  follow it: python -m study.cluster logs {self.job_id} --follow {where}\n"
            f"  its state: python -m study.cluster status {self.job_id} {where}\n"
            f"  stop it:   python -m study.cluster stop {self.job_id} {where}"
        )

    def _tail(self) -> int:
        job = self._server.follow(self.job_id, self._say, self._shown)
        if job.status == JobStatus.STOPPED:
            return INTERRUPTED
        return 0 if job.status == JobStatus.SUCCEEDED else job.driver_exit_code or FAILED

    def _say(self, text: str) -> None:
        self._shown += len(text)
        print(text, end="", flush=True)

    def _asks_to_stop(self) -> bool:
        """Detach unless a person says stop: a job is easier stopped later than brought back."""
        if not sys.stdin.isatty():
            return False
        try:
            return input("\nDetach from the job, or stop it? [d]etach, [s]top: ").strip().lower().startswith("s")
        except (EOFError, KeyboardInterrupt):
            print()
            return False


def job_lines(jobs: Sequence[JobDetails]) -> Iterator[str]:
    """A line a job: id, state, run, when it began, how long it took. Environments are never shown."""
    for job in jobs:
        run = (job.metadata or {}).get("run", "-")
        yield f"{job.submission_id}  {job.status.value:9}  {run}  {_when(job)}"


def _when(job: JobDetails) -> str:
    if not job.start_time:
        return "not begun"
    begun = datetime.fromtimestamp(job.start_time / 1000, UTC)
    end = datetime.fromtimestamp(job.end_time / 1000, UTC) if job.end_time else datetime.now(UTC)
    return f"begun {begun:%Y-%m-%d %H:%M:%S} UTC, {seconds((end - begun).total_seconds())}"
