"""Checkpoints of unfinished trials, a file each in the run's storage. Knows neither torch nor Ray.

A file begins with a line of JSON: which trial it is of, the trial's config, and the digest of the bytes that follow.
So a start learns from a file's first bytes which trials had begun and with which config, and a file that a crash or a
disk has damaged is never taken for a sound one.
"""

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass

from study.config import HOUSEKEEPING, TrialConfig, parse_config
from study.store.storage import RUN_FILE, Storage, file_name

FOLDER = "checkpoints"
LONGEST_HEAD = 2**16  # bytes; a config has about 1,500


@dataclass(frozen=True)
class Head:
    """The first line of a file. ValueError where it is none."""

    trial_id: str
    config: TrialConfig
    sha256: str

    @classmethod
    def parse(cls, content: bytes) -> "Head":
        """Parse the head of a file's content, or of its first `LONGEST_HEAD` bytes."""
        try:
            head = json.loads(content.partition(b"\n")[0])
            return cls(head["trial_id"], parse_config(head["config"], where="its config"), head["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"is damaged ({error})") from error


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run."""

    storage: Storage

    def save(self, trial_id: str, config: TrialConfig, content: bytes) -> None:
        """Keep a trial's latest checkpoint in place of its last; on disk when this returns.

        Raises:
            OSError: it cannot be written, or the run is gone: alone, it would be taken for another run's.
        """
        if not self.storage.exists(RUN_FILE):
            raise FileNotFoundError(f"{self.storage.location} is no run any more")
        digest = hashlib.sha256(content).hexdigest()
        head = {"trial_id": trial_id, "config": config.model_dump(), "sha256": digest}
        self.storage.write(_name(trial_id), json.dumps(head).encode() + b"\n" + content)

    def load(self, trial_id: str, config: TrialConfig) -> bytes | None:
        """What was last saved for a trial; None when nothing was.

        Raises:
            ValueError: it is damaged, or of another config; the message says which.
        """
        try:
            file = self.storage.read(_name(trial_id))
        except FileNotFoundError:
            return None
        head, content = Head.parse(file), file.partition(b"\n")[2]
        if hashlib.sha256(content).hexdigest() != head.sha256:
            raise ValueError("is damaged")
        if head.config.model_dump(exclude=HOUSEKEEPING) != config.model_dump(exclude=HOUSEKEEPING):
            raise ValueError("is of another config")
        return content

    def remove(self, trial_id: str) -> None:
        """Forget a trial's checkpoint; quiet when there is none."""
        self.storage.remove(_name(trial_id))

    def begun(self, finished: Collection[str], warn: Callable[[str], None]) -> dict[str, TrialConfig]:
        """Find the config of each trial that can go on, at a start; remove what is of finished trials, or damaged."""
        configs = {}
        self.storage.remove_temporary([FOLDER])
        for name in self.storage.names(FOLDER):
            path = f"{FOLDER}/{name}"
            try:
                head = Head.parse(self.storage.read(path, first=LONGEST_HEAD))
            except ValueError as error:
                warn(f"{path} {error}: the trial starts anew")
                self.storage.remove(path)
                continue
            if head.trial_id in finished or path != _name(head.trial_id):
                self.storage.remove(path)
            else:
                configs[head.trial_id] = head.config
        return configs

    def tidy(self) -> None:
        """Leave no empty folder."""
        if not self.storage.names(FOLDER):
            self.storage.sub(FOLDER).delete_folder()


def _name(trial_id: str) -> str:
    return f"{FOLDER}/{file_name(trial_id)}.checkpoint"
