"""Talk with a cluster's job server: send a job, follow its log, list, ask and stop. HTTP only, no Ray is started."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Self
from urllib.parse import urlsplit

import study.tuner.ray_environment  # noqa: F401

from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient, JobType

from study.cluster.submission import Job, environment, staged

SERVER_VARIABLE = "RAY_API_SERVER_ADDRESS"  # what Ray's own job commands read first
DASHBOARD_PORT = 8265  # Ray's default; it serves jobs too
CONNECT_SECONDS = 5.0
TALKATIVE = (  # Ray's loggers of packages and sockets
    *("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"),
    *("ray._private.runtime_env.packaging", "ray._private.runtime_env.working_dir"),
)
ATTEMPTS = 4
NOT_READY = "No available agent"  # Ray's words for a head whose agent, which starts jobs, is not up
HOW_TO_BE_READY = (
    "wait a minute if it has just started; else its agent's port is taken, perhaps by another Ray on that machine: "
    "start it with `ray start --head --dashboard-agent-listen-port=PORT`"
)
HOW_TO_ENTER = (
    "the cluster requires a token: export RAY_AUTH_MODE=token and RAY_AUTH_TOKEN=... (or RAY_AUTH_TOKEN_PATH, "
    "or ~/.ray/auth_token); on the head, `ray get-auth-token` prints it"
)

Say = Callable[[str], None]


class JobServer:
    """The job server of one cluster. Every method raises ValueError, in one line, where it has no answer."""

    def __init__(self, client: JobSubmissionClient) -> None:
        self._client = client

    @classmethod
    def at(cls, head: str | None) -> Self:
        """The server at `head`, else at RAY_API_SERVER_ADDRESS or RAY_ADDRESS, else at this machine's usual port."""
        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.ERROR)
        given = os.environ.get(SERVER_VARIABLE) or os.environ.get("RAY_ADDRESS")
        scope: AbstractContextManager[None] = nullcontext()
        if head is not None or not given:
            given = server_url(head or "127.0.0.1")
            scope = _told_to_ray(given)
        with _plain_errors(given), scope:
            _check_answers(given)
            return cls(JobSubmissionClient())

    @property
    def address(self) -> str:
        """URL of the job server."""
        return str(self._client.get_address())

    def submit(self, job: Job) -> str:
        """Send the job with our code and its files; returns its id."""
        with staged(job.files) as folder, self._errors():
            runtime_env = {"working_dir": str(folder), "env_vars": environment()}
            send = partial(self._client.submit_job, entrypoint=job.entrypoint, runtime_env=runtime_env)
            return _patiently(lambda: str(send(metadata=job.metadata)))

    def follow(self, job_id: str, say: Say, shown: int = 0) -> JobDetails:
        """Say the job's log from character `shown` on, as it grows, until the job ends."""
        with self._errors(job_id):
            asyncio.run(self._tail(job_id, say, shown))
            return self._client.get_job_info(job_id)

    async def _tail(self, job_id: str, say: Say, shown: int) -> None:
        async for lines in self._client.tail_job_logs(job_id):
            say(lines[shown:])
            shown = max(0, shown - len(lines))

    def log(self, job_id: str) -> str:
        """The job's log so far."""
        with self._errors(job_id):
            return str(self._client.get_job_logs(job_id))

    def info(self, job_id: str) -> JobDetails:
        """The job's state, as its server reports it."""
        with self._errors(job_id):
            return self._client.get_job_info(job_id)

    def list(self) -> list[JobDetails]:
        """The jobs that were submitted, latest first."""
        with self._errors():
            jobs = [job for job in self._client.list_jobs() if job.type == JobType.SUBMISSION]
        return sorted(jobs, key=lambda job: job.start_time or 0, reverse=True)

    def stop(self, job_id: str) -> bool:
        """Ask the job to stop; False where it had ended already."""
        with self._errors(job_id):
            return bool(self._client.stop_job(job_id))

    @contextmanager
    def _errors(self, job_id: str | None = None) -> Iterator[None]:
        with _plain_errors(self.address, job_id):
            yield


@contextmanager
def _told_to_ray(url: str) -> Iterator[None]:
    """The environment names the server while the block runs: Ray prefers that to an argument."""
    before = os.environ.get(SERVER_VARIABLE)
    os.environ[SERVER_VARIABLE] = url
    try:
        yield
    finally:
        if before is None:
            del os.environ[SERVER_VARIABLE]
        else:
            os.environ[SERVER_VARIABLE] = before


def server_url(head: str) -> str:
    """`host`, `host:port` or a URL as the URL of a job server.

    Raises:
        ValueError: it is none of them.
    """
    url = head if "://" in head else f"http://{head}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"HEAD {head!r}: give the head's job server as HOST, HOST:PORT or http://HOST:{DASHBOARD_PORT}"
        )
    return url if port or parts.scheme == "https" else f"http://{parts.netloc}:{DASHBOARD_PORT}{parts.path}"


def ended(status: JobStatus) -> bool:
    """Whether a job in this state runs no more."""
    return bool(status.is_terminal())


def _check_answers(address: str) -> None:
    """OSError when nothing listens there: Ray itself would wait for minutes."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    host, port = parts.hostname, parts.port
    if isinstance(host, str) and port:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()


@contextmanager
def _plain_errors(address: str, job_id: str | None = None) -> Iterator[None]:
    """What goes wrong between here and a job server as a ValueError of one line."""
    import aiohttp
    import requests

    try:
        yield
    except AuthenticationError as error:
        raise ValueError(f"no entrance at {address}: {HOW_TO_ENTER}") from error
    except (OSError, aiohttp.ClientError, requests.RequestException) as error:
        raise ValueError(f"no job server answers at {address}: {_first_line(error)}") from error
    except RuntimeError as error:
        if job_id is not None and "404" in str(error):
            raise ValueError(f"no job {job_id} at {address}: `python -m study.cluster status` lists them") from error
        if NOT_READY in str(error):
            raise ValueError(f"the head at {address} takes no jobs: {HOW_TO_BE_READY}") from error
        raise ValueError(f"the job server at {address} says: {_first_line(error)}") from error


def _patiently(send: Callable[[], str]) -> str:
    """What `send` answers; sent again while a head that has just started is not ready. It takes 10 s to say so."""
    for _ in range(ATTEMPTS - 1):
        try:
            return send()
        except RuntimeError as error:
            if NOT_READY not in str(error):
                raise
    return send()


def _first_line(error: Any) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
