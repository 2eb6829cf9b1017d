"""A run's trials in other tools' logs: TensorBoard, MLflow, Weights & Biases. Copies only: the tables are what counts.

One adapter a tool, with the same three verbs, for a run that is going and for a finished one alike. A trial that begins
again, after a failure or in a later start, replaces what its tool has of it, so no point is there twice.
"""

import logging
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar

from study.config import refuse_unknown
from study.store.locations import redacted_error, safe_name
from study.store.logged_run import LoggedRun
from study.store.storage import Storage

INTERRUPTED, BROKEN = "interrupted", ("failed", "out_of_memory")  # the first is no status of the tables
FLUSH_SECONDS = 5  # until TensorBoard sees an epoch; its writer's own are 120
RETRIES = "2"  # of a request to MLflow's server: its own 7 take four minutes, in which no trial would be served


class ToolLog(ABC):
    """Where a tool keeps trials.

    Attributes:
        folder: theirs, unless the user's environment leads to a server.
    """

    FOLDER: ClassVar[str]  # its name in the run's, as the tool's users expect it

    def __init__(self, run: LoggedRun, folder: Path) -> None:
        self.run, self.folder = run, folder
        self._open: dict[str, Any] = {}  # trial_id to what the tool knows a trial by that has not ended

    @staticmethod
    def server() -> str | None:
        """Where the user's environment sends the log in place of `folder`."""
        return None

    @abstractmethod
    def begin_trial(self, trial_id: str, known: Mapping[str, Any]) -> None:
        """Log its `hyperparameters`, and remove what there is of an earlier attempt."""

    @abstractmethod
    def log_epoch(self, trial_id: str, epoch: int, measured: Mapping[str, float]) -> None:
        """Log the `measures` of an epoch of a trial that has begun."""

    @abstractmethod
    def end_trial(self, trial_id: str, status: str, final: Mapping[str, float]) -> None:
        """Log how a trial ended, with its final `measures`."""

    def interrupt(self) -> None:
        """End what is still open."""
        for trial_id in list(self._open):
            self.end_trial(trial_id, INTERRUPTED, {})

    def wait(self) -> None:  # noqa: B027 - most tools have nothing to wait for
        """Return when all that was logged is written."""


class TensorBoardLog(ToolLog):
    """A folder of events a trial; its hyperparameters, which the HParams page shows, follow at its end."""

    FOLDER = "tensorboard"

    def begin_trial(self, trial_id: str, known: Mapping[str, Any]) -> None:
        """Begin its folder anew."""
        from tensorboardX import SummaryWriter  # where torch is installed, it imports it

        if trial_id in self._open:
            self._open.pop(trial_id)[0].close()
        folder = self.folder / safe_name(trial_id.replace(":", "--").replace("/", "-"))
        shutil.rmtree(folder, ignore_errors=True)
        self._open[trial_id] = SummaryWriter(str(folder), flush_secs=FLUSH_SECONDS), known

    def log_epoch(self, trial_id: str, epoch: int, measured: Mapping[str, float]) -> None:
        """A point a measure."""
        writer, _ = self._open[trial_id]
        for name, value in measured.items():
            writer.add_scalar(name, value, epoch)

    def end_trial(self, trial_id: str, status: str, final: Mapping[str, float]) -> None:
        """Hyperparameters and final values into the trial's own folder; `add_hparams` would make another."""
        from tensorboardX.summary import hparams

        writer, known = self._open.pop(trial_id)
        values = _as_final(final)
        with writer:
            for summary in hparams({**known, "status": status}, values):
                writer.file_writer.add_summary(summary)
            for name, value in values.items():
                writer.add_scalar(name, value, 0)


class MlflowLog(ToolLog):
    """A run a trial, in an experiment of the run's name: an SQLite file here, or the server of MLFLOW_TRACKING_URI.

    MLflow itself refuses its older store of plain files.
    """

    FOLDER = "mlruns"
    DATABASE = "mlflow.db"

    def __init__(self, run: LoggedRun, folder: Path) -> None:
        super().__init__(run, folder)
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES)
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # else it tells how it makes its tables
        if self.server() is None:
            folder.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(self.server() or f"sqlite:///{folder / self.DATABASE}")
        experiment = self._client.get_experiment_by_name(run.name)
        self._experiment = experiment.experiment_id if experiment else self._new_experiment()

    def _new_experiment(self) -> str:
        artifacts = None if self.server() else self.folder.as_uri()  # else MLflow's is ./mlruns
        return str(self._client.create_experiment(self.run.name, artifact_location=artifacts))

    @staticmethod
    def server() -> str | None:
        """MLFLOW_TRACKING_URI."""
        return os.environ.get("MLFLOW_TRACKING_URI")

    def begin_trial(self, trial_id: str, known: Mapping[str, Any]) -> None:
        """Begin a run; an earlier one of the trial becomes one of the deleted."""
        from mlflow.entities import Param

        key = self.run.key(trial_id)
        for earlier in self._client.search_runs([self._experiment], f"tags.trial_key = '{key}'"):
            self._client.delete_run(earlier.info.run_id)
        tags = {"trial_id": trial_id, "trial_key": key}
        begun = self._client.create_run(self._experiment, tags=tags, run_name=trial_id)
        self._open[trial_id] = begun.info.run_id
        self._client.log_batch(begun.info.run_id, params=[Param(name, str(value)) for name, value in known.items()])

    def log_epoch(self, trial_id: str, epoch: int, measured: Mapping[str, float]) -> None:
        """A metric a measure, its step the epoch."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, epoch) for name, value in measured.items()]
        self._client.log_batch(self._open[trial_id], metrics=metrics)

    def end_trial(self, trial_id: str, status: str, final: Mapping[str, float]) -> None:
        """Final values as metrics, the status as a tag; FAILED is what the machine has done, not what diverged."""
        self.log_epoch(trial_id, 0, _as_final(final))
        run_id = self._open.pop(trial_id)
        self._client.set_tag(run_id, "status", status)
        ending = {INTERRUPTED: "KILLED", **dict.fromkeys(BROKEN, "FAILED")}
        self._client.set_terminated(run_id, ending.get(status, "FINISHED"))


class WandbLog(ToolLog):
    """A run a trial, in a project of the run's name: files for `wandb sync`, unless WANDB_MODE says otherwise."""

    FOLDER = "wandb"
    OFFLINE = "offline"

    @staticmethod
    def server() -> str | None:
        """The service, where WANDB_MODE says `online`; where it is, wandb knows."""
        return "Weights & Biases" if os.environ.get("WANDB_MODE") == "online" else None

    def begin_trial(self, trial_id: str, known: Mapping[str, Any]) -> None:
        """Begin a run under the trial's own id: online, too, it takes the place of an earlier one."""
        import wandb

        if trial_id in self._open:
            self._open.pop(trial_id).finish(exit_code=1)
        key = self.run.key(trial_id)
        for earlier in self.folder.glob(f"*run-*-{key}"):
            shutil.rmtree(earlier, ignore_errors=True)
        quiet = wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True)
        self._open[trial_id] = wandb.init(
            project=self.run.name,
            id=key,
            name=trial_id,
            config=dict(known),
            dir=str(self.folder.parent),  # wandb itself adds FOLDER
            mode=os.environ.get("WANDB_MODE", self.OFFLINE),
            reinit="create_new",  # trials run beside each other
            settings=quiet,
        )

    def log_epoch(self, trial_id: str, epoch: int, measured: Mapping[str, float]) -> None:
        """A row of its history, its step the epoch."""
        self._open[trial_id].log(dict(measured), step=epoch, commit=True)  # else it waits for the next step

    def end_trial(self, trial_id: str, status: str, final: Mapping[str, float]) -> None:
        """Final values and status into its summary."""
        run = self._open.pop(trial_id)
        run.summary.update({**_as_final(final), "status": status})
        run.finish(exit_code=int(status in (INTERRUPTED, *BROKEN)))

    def wait(self) -> None:
        """Return when wandb's own process, which `finish` does not wait for, has come to its end."""
        import wandb

        wandb.teardown()


TOOLS: dict[str, type[ToolLog]] = {"tensorboard": TensorBoardLog, "mlflow": MlflowLog, "wandb": WandbLog}
# The whole mlflow wants an older pandas; its skinny part has all but the page that shows the runs.
INSTALLED_BY = {"tensorboard": "tensorboardX", "mlflow": "mlflow-skinny", "wandb": "wandb"}


def tools_of(chosen: str | Sequence[str]) -> list[str]:
    """The tools of `tensorboard,mlflow`, or of a list of such names.

    Raises:
        ValueError: an unknown tool, or one that is not installed.
    """
    names = chosen.split(",") if isinstance(chosen, str) else chosen
    tools = list(dict.fromkeys(name for name in names if name))
    for tool in tools:
        refuse_unknown("log", tool, TOOLS)
        check_installed(tool)
    return tools


def check_installed(tool: str) -> None:
    """ValueError, with the command that installs it, for a tool that is not there."""
    package = INSTALLED_BY[tool]
    try:
        version(package)  # whether it can be imported does not tell: a folder `wandb` here could be
    except PackageNotFoundError:
        raise ValueError(f"{tool} is not installed: pip install {package}") from None


def check_place(tools: Collection[str], storage: Storage) -> None:
    """ValueError for a tool that cannot log a going run there: its files grow, and those of a store do not."""
    for tool in tools:
        if not storage.is_local and TOOLS[tool].server() is None:
            raise ValueError(
                f"log = {tool!r}: its files lie beside the run and grow, which needs a --storage that is a folder, not "
                f"{storage.location}; when the run is over: python -m study.report {storage.location} --export {tool}"
            )


@contextmanager
def refused_in_one_line(tool: str) -> Iterator[None]:
    """ValueError for all that a tool raises: each has errors of its own."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{tool} cannot log this run: {redacted_error(error)}") from error


def folder_beside(tool: str, storage: Storage) -> Path:
    """Where the tool's files of a going run lie: in the run's folder, or for its server's own use in a passing one."""
    parent = Path(storage.root) if storage.is_local else Path(mkdtemp(prefix="study-"))
    return parent / TOOLS[tool].FOLDER


def _as_final(values: Mapping[str, float]) -> dict[str, float]:
    """Under names of their own: those of the epochs would get a point more."""
    return {f"final/{name}": value for name, value in values.items()}
