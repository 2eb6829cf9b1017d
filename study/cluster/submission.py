"""What a job is: the command that the head runs, the files that travel with it, and its environment. Sends nothing."""

import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import parse_qsl, urlsplit

from study.tuner.ray_environment import auth_mode

from study.planning.user_file import PACKAGES
from study.run import REPLAY, build_parser, own_parts, planned
from study.search.samplers import SearchMethod
from study.store.locations import redacted_uri
from study.store.provenance import COMMIT_VARIABLE, ROOT, commit
from study.store.storage import RESULTS, Storage
from study.sweeps import load_sweep
from study.terminal import plural, read_options

USERS = "users_files"  # folder beside PACKAGES, so that no file of a user's takes the place of a module of another's
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
JOB_STORAGE = "~/results"  # of the head's user: a job's own folder is temporary, so results must not lie in it
REACHED_BY_THE_HEAD = ("s3", "hdfs", "viewfs")  # pyarrow asks their servers at once, and perhaps the head alone may
SECRET_OPTIONS = {"sig", "client_secret"}  # of Azure's URIs; the only ones of those that pyarrow reads itself
STOP = {
    "RAY_JOB_STOP_SIGNAL": "SIGINT",  # as Ctrl-C: the run writes what has finished and says how to go on
    "RAY_JOB_STOP_WAIT_TIME_S": "60",  # Ray kills after it; 3 s unless told, too few for a slow object store
}


@dataclass(frozen=True)
class Job:
    """A command for the head, with what it needs.

    Attributes:
        command: its words; run in a folder that holds PACKAGES and, in USERS, `files`.
        files: a user's own files that travel beside our code: place in USERS to file.
        metadata: what lists of jobs show.
        summary: what the user should know before it is sent.
    """

    command: tuple[str, ...]
    files: Mapping[Path, Path] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    summary: str = ""

    @property
    def entrypoint(self) -> str:
        """The command as a shell reads it."""
        return shlex.join(self.command)


def run_job(arguments: Sequence[str]) -> Job:
    """The job of `python -m study.run ARGUMENTS`, all of it checked here as far as this machine can know.

    Raises:
        ValueError: what study.run itself would refuse, or what makes no sense in a job; the message says what.
        SystemExit: options that study.run's parser refuses, or its --help.
    """
    options = build_parser().parse_args(arguments)
    if options.sweep is None or options.sweep == REPLAY:
        raise ValueError("name the sweep that the job runs: python -m study.cluster submit HEAD depth_sweep")
    if options.address is not None:
        raise ValueError("--address: the job runs on the cluster of HEAD, leave it out")
    named = load_sweep(options.sweep)
    with own_parts(named):
        plan = planned(named, options)
        from study.planning.names import check_names  # imports torch, which takes seconds

        check_names(plan)
    words = list(arguments)
    if named.files:
        words[words.index(options.sweep)] = f"{USERS}/{Path(options.sweep).name}"
    storage = job_storage(options.storage)
    check_data_dir(options.data_dir)
    read_options(SearchMethod, options).check(plan.objectives)
    if storage != options.storage:
        words += ["--storage", storage]
    return Job(
        command=("python", "-m", "study.run", *words, "--address", "auto"),
        files=named.files,
        metadata={"run": plan.run},
        summary=f"{plan.run}: {plural(len(plan.cells), 'cell')}, {plural(plan.trial_count, 'trial')}, "
        f"results in {redacted_uri(storage)}/{plan.run}",
    )


def job_storage(location: str) -> str:
    """Where the head puts results; ValueError for a folder that would be the job's own and vanish with it."""
    scheme, separator, _ = location.partition("://")
    if separator:
        _refuse_keys(location)
        if scheme not in REACHED_BY_THE_HEAD:
            Storage.at(location)
        return location
    if location == RESULTS:
        return JOB_STORAGE
    if not (PurePosixPath(location).is_absolute() or location.startswith("~")):
        raise ValueError(
            f"--storage {location}: a job runs in a temporary folder of the head, "
            "so give an absolute path there, or a URI such as s3://bucket/studies"
        )
    return location


def _refuse_keys(location: str) -> None:
    """ValueError for a URI that holds a secret: job servers show the commands of jobs to everybody."""
    parts = urlsplit(location)
    if parts.password is not None or not SECRET_OPTIONS.isdisjoint(dict(parse_qsl(parts.query))):
        raise ValueError("--storage: keys in a URI would be shown with the job, so give them to the head instead")


def check_data_dir(data_dir: Path | None) -> None:
    """A data folder is the head's: one that is relative would lie in the job's temporary folder."""
    if data_dir is not None and not (data_dir.is_absolute() or str(data_dir).startswith("~")):
        raise ValueError(f"--data-dir {data_dir}: it is a folder of the head, so give an absolute path there")


def environment() -> dict[str, str]:
    """The variables that a job gets. Never a token: they are shown in the dashboard."""
    return {**STOP, "RAY_AUTH_MODE": auth_mode(), COMMIT_VARIABLE: commit()}


@contextmanager
def staged(files: Mapping[Path, Path]) -> Iterator[Path]:
    """A folder with our code and `files`, and nothing else of the working directory: some hundred kilobytes."""
    with TemporaryDirectory(prefix="study-job-") as name:
        folder = Path(name)
        for package in PACKAGES:
            shutil.copytree(ROOT / package, folder / package, ignore=LEFT_OUT)
        for place, file in files.items():
            (folder / USERS / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / USERS / place)
        yield folder
