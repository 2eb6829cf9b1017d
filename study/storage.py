"""Where a run's files lie: a local folder or an object store of S3's kind. Whole files, replaced atomically.

Tested with S3 alone. The URIs of Google's store, `gs://`, are passed to pyarrow untested; others are refused, because
pyarrow does not tell what would open their files again.

Credentials come from where pyarrow looks for them: the environment, files of the cloud's own tools, or the URI. They
are kept in the open file system alone: no location, message or file of a run has them.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Self, TypeVar

from pyarrow import fs

RESULTS = "results"  # the folder, below the working directory, that holds runs unless --storage says otherwise
RUN_FILE = "run.json"  # what makes a folder a run
JOURNAL = "optuna.journal"  # a copy of the run's Optuna studies
TEMPORARY_PREFIX = ".tmp-"  # Parquet readers skip names that begin with a dot
NAME_LETTERS = 100  # of a trial's id in a file's name: file systems end at 255 bytes
# Name of a file system to its URIs' scheme. A file appears there whole, when its upload is complete: without a rename.
OBJECT_STORES = {"s3": "s3", "gcs": "gs"}
CONNECTIONS = 16  # requests at a time to an object store; the S3 client keeps 25 connections
# Seconds until a write to an object store is tried again: a minute in all, beside the seconds that pyarrow tries.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)

logger = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Storage:
    """A folder of a file system. Names are relative to it, with `/` between parts."""

    filesystem: Any
    root: str

    @classmethod
    def at(cls, location: str | Path) -> Self:
        """The storage at a local path or a URI.

        Raises:
            ValueError: the URI's scheme or form is unknown, or it names a file system that `location` could not tell.
        """
        if "://" not in str(location):
            return cls(fs.LocalFileSystem(), str(Path(location).expanduser().absolute()))
        try:
            filesystem, root = fs.FileSystem.from_uri(str(location))
        except (ImportError, OSError, ValueError) as error:  # ImportError: of packages that pyarrow asks for
            told = str(error).replace(str(location), shown(location))
            raise ValueError(f"storage {shown(location)}: {told}") from None
        if filesystem.type_name not in (*OBJECT_STORES, "local"):
            raise ValueError(f"storage {shown(location)}: give a path, s3://bucket/folder or gs://bucket/folder")
        return cls(filesystem, root)

    @property
    def is_object_store(self) -> bool:
        """Whether files lie in an object store: no locks, no renaming, and requests that may fail for a moment."""
        return self.filesystem.type_name in OBJECT_STORES

    @property
    def location(self) -> str:
        """The path, or the URI without its options and credentials: what `Storage.at` opens, where these are set."""
        return f"{OBJECT_STORES[self.filesystem.type_name]}://{self.root}" if self.is_object_store else self.root

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.root.rpartition("/")[2]

    @property
    def parent(self) -> "Storage":
        """The folder that holds this one."""
        return Storage(self.filesystem, self.root.rpartition("/")[0])

    def sub(self, name: str) -> "Storage":
        """The folder `name` inside."""
        return Storage(self.filesystem, self._path(name))

    def write(self, name: str, content: bytes) -> None:
        """Put a file there as a whole: a reader meets the old content or the new, never a part.

        Raises:
            OSError: it cannot be written; to an object store, not within PAUSES either.
        """
        for pause in PAUSES if self.is_object_store else ():
            try:
                self.write_now(name, content)
            except OSError as error:
                logger.warning("%s could not be written, again in %g s: %s", self._path(name), pause, error)
                time.sleep(pause)
            else:
                return
        self.write_now(name, content)

    def write_now(self, name: str, content: bytes) -> None:
        """As `write`, without patience."""
        target = self._path(name)
        if self.is_object_store:
            with ThreadPoolExecutor(1) as pool:  # Ctrl-C between opening and writing would leave an empty object here
                pool.submit(self._put_at, target, content).result()
            return
        folder, _, last = target.rpartition("/")
        self.filesystem.create_dir(folder, recursive=True)
        self._put_at(f"{folder}/{TEMPORARY_PREFIX}{last}", content)
        self.filesystem.move(f"{folder}/{TEMPORARY_PREFIX}{last}", target)

    def _put_at(self, path: str, content: bytes) -> None:
        with self.filesystem.open_output_stream(path) as stream:
            stream.write(content)

    def read(self, name: str, first: int | None = None) -> bytes:
        """A file's content, or its `first` bytes alone; FileNotFoundError when there is none.

        An object that is replaced between the requests that a read takes would be read in a mixture: it is read again.
        """
        while True:
            with self.filesystem.open_input_file(self._path(name)) as stream:
                content, version = bytes(stream.read(first)), self.is_object_store and stream.metadata()
            if not self.is_object_store or self._version(name) == version:
                return content

    def _version(self, name: str) -> Any:
        with self.filesystem.open_input_file(self._path(name)) as stream:
            return stream.metadata()

    def each(self, work: Callable[[str], _T], names: Iterable[str]) -> list[_T]:
        """What `work` gives for each name; in an object store, where requests are mostly waiting, several at a time."""
        if not self.is_object_store:
            return [work(name) for name in names]
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return list(pool.map(work, names))

    def remove(self, name: str) -> None:
        """Delete a file; quiet when there is none."""
        if self.exists(name):
            self.filesystem.delete_file(self._path(name))

    def exists(self, name: str) -> bool:
        """Whether a file or folder of that name is there."""
        return bool(self.filesystem.get_file_info(self._path(name)).type != fs.FileType.NotFound)

    def written_at(self, name: str) -> datetime | None:
        """When a file was written, by the clock of where it lies; None when there is none."""
        written_at: datetime | None = self.filesystem.get_file_info(self._path(name)).mtime
        return written_at

    def names(self, folder: str, *, hidden: bool = False) -> list[str]:
        """The files in a folder, sorted, those that begin with a dot if `hidden`; none where there is no folder."""
        selector = fs.FileSelector(self._path(folder), allow_not_found=True)
        infos = self.filesystem.get_file_info(selector)
        return sorted(info.base_name for info in infos if info.is_file and (hidden or info.base_name[0] != "."))

    def folders(self, folder: str) -> list[str]:
        """The folders in a folder, sorted, those that begin with a dot left out; none where there is no folder."""
        selector = fs.FileSelector(self._path(folder), allow_not_found=True)
        infos = self.filesystem.get_file_info(selector)
        return sorted(info.base_name for info in infos if not info.is_file and info.base_name[0] != ".")

    def rename(self, name: str, new_name: str) -> None:
        """Rename a file."""
        self.filesystem.move(self._path(name), self._path(new_name))

    def beside(self, name: str) -> "Storage":
        """A folder of that name beside this one."""
        return self.parent.sub(name)

    def move_folder(self, other: "Storage") -> None:
        """Move this folder and all in it to where `other` is; in an object store, file by file and run.json last."""
        if not self.is_object_store:
            self.filesystem.move(self.root, other.root)
            return
        infos = self.filesystem.get_file_info(fs.FileSelector(self.root, recursive=True))
        names = [info.path.removeprefix(f"{self.root}/") for info in infos if info.is_file]
        for together in ([name for name in names if name != RUN_FILE], [name for name in names if name == RUN_FILE]):
            self.each(lambda name: self.filesystem.move(self._path(name), other._path(name)), together)
        self.delete_folder()

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
            self.write_now(probe, b"")
            self.filesystem.delete_file(self._path(probe))
        except OSError as error:
            raise ValueError(f"storage {self.location} is not writable: {error}") from error

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}".rstrip("/")


def file_name(trial_id: str) -> str:
    """A stable name that every file system takes, one for each trial: what can be read of the id, and its digest."""
    readable = re.sub(r"[^A-Za-z0-9.=_-]", "_", trial_id)[-NAME_LETTERS:].lstrip(".")
    return f"{readable}-{sha256(trial_id.encode()).hexdigest()[:12]}"


def shown(location: str | Path) -> str:
    """A location as it may be shown: a URI without user, password and options, which may hold secrets."""
    return re.sub(r"://.*@", "://", str(location)).partition("?")[0] if "://" in str(location) else str(location)
