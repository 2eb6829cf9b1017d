"""Where a run's files lie: a local folder or a URI that pyarrow opens. Whole files, replaced atomically."""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from pyarrow import fs

RESULTS = "results"  # the folder, below the working directory, that holds runs unless --storage says otherwise
RUN_FILE = "run.json"  # what makes a folder a run
JOURNAL = "optuna.journal"  # a copy of the run's Optuna studies
TEMPORARY_PREFIX = ".tmp-"  # Parquet readers skip names that begin with a dot
NAME_LETTERS = 100  # of a trial's id in a file's name: file systems end at 255 bytes
OBJECT_STORES = ("s3", "gcs", "abfs")  # a file appears there whole, when its upload is complete: no rename is needed


@dataclass(frozen=True)
class Storage:
    """A folder of a file system. Names are relative to it, with `/` between parts."""

    filesystem: Any
    root: str

    @classmethod
    def at(cls, location: str | Path) -> Self:
        """The storage at a local path or a URI.

        Raises:
            ValueError: the URI's scheme or form is unknown.
        """
        if "://" not in str(location):
            return cls(fs.LocalFileSystem(), str(Path(location).expanduser().absolute()))
        try:
            filesystem, root = fs.FileSystem.from_uri(str(location))
        except (OSError, ValueError) as error:
            raise ValueError(f"storage {location}: {error}") from error
        return cls(filesystem, root)

    def sub(self, name: str) -> "Storage":
        """The folder `name` inside."""
        return Storage(self.filesystem, self._path(name))

    def write(self, name: str, content: bytes) -> None:
        """Put a file there as a whole: a reader meets the old content or the new, never a part."""
        folder, _, last = name.rpartition("/")
        self.filesystem.create_dir(self._path(folder), recursive=True)
        direct = self.filesystem.type_name in OBJECT_STORES
        target = self._path(name) if direct else self._path(f"{folder}/{TEMPORARY_PREFIX}{last}")
        with self.filesystem.open_output_stream(target) as stream:
            stream.write(content)
        if not direct:
            self.filesystem.move(target, self._path(name))

    def read(self, name: str, first: int | None = None) -> bytes:
        """A file's content, or its `first` bytes alone; FileNotFoundError when there is none."""
        with self.filesystem.open_input_file(self._path(name)) as stream:
            return bytes(stream.read(first))

    def remove(self, name: str) -> None:
        """Delete a file; quiet when there is none."""
        if self.exists(name):
            self.filesystem.delete_file(self._path(name))

    def exists(self, name: str) -> bool:
        """Whether a file or folder of that name is there."""
        return bool(self.filesystem.get_file_info(self._path(name)).type != fs.FileType.NotFound)

    def names(self, folder: str, *, hidden: bool = False) -> list[str]:
        """The files in a folder, sorted, those that begin with a dot if `hidden`; none where there is no folder."""
        selector = fs.FileSelector(self._path(folder), allow_not_found=True)
        infos = self.filesystem.get_file_info(selector)
        return sorted(info.base_name for info in infos if info.is_file and (hidden or info.base_name[0] != "."))

    def rename(self, name: str, new_name: str) -> None:
        """Rename a file."""
        self.filesystem.move(self._path(name), self._path(new_name))

    def beside(self, name: str) -> "Storage":
        """A folder of that name beside this one."""
        return Storage(self.filesystem, f"{self.root.rpartition('/')[0]}/{name}")

    def move_folder(self, other: "Storage") -> None:
        """Move this folder and all in it to where `other` is."""
        self.filesystem.move(self.root, other.root)

    def delete_folder(self) -> None:
        """Remove this folder and all in it; quiet when it is not there."""
        if self.exists(""):
            self.filesystem.delete_dir(self.root)

    def check_writable(self) -> None:
        """Write and remove a probe.

        Raises:
            ValueError: nothing can be written there; the message says why.
        """
        probe = f"{TEMPORARY_PREFIX}probe"
        try:
            self.write(probe, b"")
            self.filesystem.delete_file(self._path(probe))
        except OSError as error:
            raise ValueError(f"storage {self.root} is not writable: {error}") from error

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}".rstrip("/")


def file_name(trial_id: str) -> str:
    """A stable name that every file system takes, one for each trial: what can be read of the id, and its digest."""
    readable = re.sub(r"[^A-Za-z0-9.=_-]", "_", trial_id)[-NAME_LETTERS:].lstrip(".")
    return f"{readable}-{sha256(trial_id.encode()).hexdigest()[:12]}"
