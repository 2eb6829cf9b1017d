"""What other tools find in a run's logs, each read in its own form."""

import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from json import loads
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

WANDB_HEADER, WANDB_BLOCK = 7, 32768  # bytes: the file's own, and each record's; LevelDB's log format


@dataclass
class Logged:
    """A trial as a tool shows it: hyperparameters as text, points (step, value) by measure, final values by name."""

    known: dict[str, str] = field(default_factory=dict)
    points: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    status: str = ""

    @property
    def final(self) -> dict[str, float]:
        return {name: points[-1][1] for name, points in self.points.items() if name.startswith("final/")}

    @property
    def epochs(self) -> dict[str, list[tuple[int, float]]]:
        return {name: points for name, points in self.points.items() if not name.startswith("final/")}


def read_log(tool: str, folder: Path) -> dict[str, Logged]:
    """Trial id to what is logged of it."""
    return {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}[tool](folder)


def _tensorboard(folder: Path) -> dict[str, Logged]:
    found = {}
    for trial in folder.iterdir():
        logged = found[trial.name.replace("--", ":")] = Logged()
        (file,) = trial.iterdir()
        for step, value in ((event.step, one) for event in _events(file.read_bytes()) for one in event.summary.value):
            plugin = HParamsPluginData.FromString(value.metadata.plugin_data.content)
            if value.WhichOneof("value") == "simple_value":
                logged.points[value.tag].append((step, value.simple_value))
            for name, one in plugin.session_start_info.hparams.items():
                number = one.WhichOneof("kind") == "number_value"
                logged.known[name] = f"{one.number_value:g}" if number else one.string_value or str(one.bool_value)
        logged.status = logged.known.pop("status", "")
    return found


def _events(content: bytes) -> Iterator[Event]:
    """The events of a file; before each a length and its checksum stand, after it one more."""
    while content:
        end = 12 + struct.unpack("<Q", content[:8])[0]
        yield Event.FromString(content[12:end])
        content = content[end + 4 :]


def _mlflow(folder: Path, uri: str | None = None) -> dict[str, Logged]:
    from mlflow.tracking import MlflowClient

    client, found = MlflowClient(uri or f"sqlite:///{folder / 'mlflow.db'}"), {}
    for run in client.search_runs([one.experiment_id for one in client.search_experiments()]):
        assert run.data.tags["trial_id"] not in found
        logged = found[run.data.tags["trial_id"]] = Logged(dict(run.data.params))
        logged.status = run.data.tags.get("status", "")
        for name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            logged.points[name] += sorted((point.step, point.value) for point in history)
    return found


def _wandb(folder: Path) -> dict[str, Logged]:
    found = {}
    for file in folder.glob("offline-run-*/run-*.wandb"):
        name, logged = _wandb_run(file.read_bytes())
        assert name not in found
        found[name] = logged
    return found


def _wandb_run(content: bytes) -> tuple[str, Logged]:
    from wandb.proto.wandb_internal_pb2 import Record

    trial_id, logged = "", Logged()
    for record in map(Record.FromString, _wandb_records(content)):
        trial_id = record.run.display_name or trial_id
        values = {one.key: loads(one.value_json) for one in record.run.config.update if not one.key.startswith("_")}
        logged.known |= {name: f"{value:g}" if _is_number(value) else str(value) for name, value in values.items()}
        for one in record.history.item:
            name = one.key or ".".join(one.nested_key)
            if not name.startswith("_"):
                logged.points[name].append((record.history.step.num, loads(one.value_json)))
        for one in record.summary.update:
            name, value = one.key or ".".join(one.nested_key), loads(one.value_json)
            if name == "status":
                logged.status = value
            elif name.startswith("final/"):
                logged.points[name] = [(0, value)]
    return trial_id, logged


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wandb_records(content: bytes) -> Iterator[bytes]:
    at, whole = WANDB_HEADER, b""
    while at + WANDB_HEADER <= len(content):
        left = WANDB_BLOCK - at % WANDB_BLOCK
        if left < WANDB_HEADER:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + WANDB_HEADER])
        at += WANDB_HEADER + length
        if at > len(content):  # what is being written
            return
        whole += content[at - length : at]
        if kind in (1, 4):  # the whole of a record, or its last part
            yield whole
            whole = b""
