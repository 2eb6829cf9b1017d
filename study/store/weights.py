"""The weights of confirmed trials: one file each in the run's storage, with all that rebuilds the net."""

from dataclasses import dataclass, field, replace
from typing import Any

from study.config import TrialConfig, parse_config
from study.datasets.splits import Fingerprint
from study.store.storage import Storage, file_name
from study.store.tensor_bytes import from_bytes, to_bytes

FOLDER = "weights"


@dataclass(frozen=True)
class Weights:
    """A trained net as it is kept in a file.

    Attributes:
        trial_id: whose.
        config: of the trial.
        in_channels, num_classes: of the data set that it was trained on.
        state: the net's state dict, float32.
        data: the data set's fingerprint, its class names in it; empty in files of a version that kept none.
    """

    trial_id: str
    config: TrialConfig
    in_channels: int
    num_classes: int
    state: dict[str, Any]
    data: Fingerprint = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """A file that `torch.load` opens too."""
        return to_bytes({**vars(self), "config": self.config.model_dump()})


def write_weights(storage: Storage, trial_id: str, content: bytes) -> None:
    """Keep a trial's weights."""
    storage.write(_name(trial_id), content)


def read_weights(storage: Storage, trial_id: str) -> Weights:
    """The weights that a run keeps of a trial.

    Raises:
        ValueError: it keeps none, or they are damaged.
    """
    try:
        content = from_bytes(storage.read(_name(trial_id)))
        weights = Weights(**{**content, "config": parse_config(content["config"], where="its config")})
        if weights.trial_id != trial_id:
            raise ValueError(f"is of trial {weights.trial_id!r}: files were swapped or renamed")
        return weights
    except FileNotFoundError:
        raise ValueError(
            f"{storage.location} keeps no weights of a trial {trial_id!r}: only those of trials with phase confirm and "
            "status ok are kept, and only by runs that were made since there are such files"
        ) from None
    except (TypeError, KeyError, AttributeError):
        raise ValueError(f"{storage.sub(_name(trial_id)).location} is damaged: these are no weights of ours") from None
    except ValueError as error:
        raise ValueError(f"{storage.sub(_name(trial_id)).location}: {error}") from error


def copy_weights(source: Storage, old_id: str, target: Storage, new_id: str) -> None:
    """Keep the weights of a trial that another run takes over under its name there, if they are kept at all."""
    if source.exists(_name(old_id)):
        write_weights(target, new_id, replace(read_weights(source, old_id), trial_id=new_id).to_bytes())


def _name(trial_id: str) -> str:
    return f"{FOLDER}/{file_name(trial_id)}.pt"
