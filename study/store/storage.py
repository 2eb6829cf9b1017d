"""Where a run's files lie: a path, or any URI that pyarrow opens. Whole files, replaced atomically.

pyarrow opens file://, s3://, gs://, abfs:// (Azure), hdfs:// and viewfs:// itself, and what fsspec knows as fsspec+NAME://
or hf://. Tried on servers of their kinds: S3, Google, Azure; on HDFS and Hugging Face nothing was.

Credentials come from where pyarrow looks for them: the environment, files of the cloud's own tools, or the URI. They
are kept in the open file system alone: no location, message or file of a run has them.
"""

import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from textwrap import shorten
from typing import Any, Self, TypeVar

from pyarrow import fs

from study.store.locations import as_os_error, redacted_error, redacted_parts, redacted_uri, safe_name

RESULTS = "results"  # the folder, below the working directory, that holds runs unless --storage says otherwise
RUN_FILE = "run.json"  # what makes a folder a run
JOURNAL = "optuna.journal"  # a copy of the run's Optuna studies
TEMPORARY_PREFIX = ".tmp-"
LONGEST_SHOWN = 60  # characters of what a damaged file holds
NAME_LETTERS = 100  # of a trial's id in a file's name: file systems end at 255 bytes
# pyarrow's names of the file systems that rename; on HDFS, a file that is replaced is gone for a moment. All others are
# taken for stores, where a rename is a copy.
RENAMING = ("local", "hdfs", "mock")
# Those that show a file before it is whole: Azure's begins empty. With S3, Google and most of what fsspec opens it
# appears when its upload is complete; with fsspec's sftp or smb it does not: a reader may meet half a file in mid-run.
UNFINISHED_SHOWN = (*RENAMING, "abfs")
WAYS = "a path, or a URI that begins with s3, gs, abfs, hdfs, hf or fsspec+NAME"
CONNECTIONS = 16  # requests at a time to a store; the S3 client keeps 25 connections
# Seconds until a write to what is not local is tried again: a minute in all, beside the seconds that pyarrow tries.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)

logger = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Storage:
    """A folder of a file system. Names are relative to it, with `/` between parts."""

    filesystem: Any
    root: str  # in the file system
    address: str  # the same as a user would name it, without options
    options: str = ""  # of SHOWN_OPTIONS, with their question mark

    @classmethod
    def at(cls, location: str | Path) -> Self:
        """The storage at a local path or a URI.

        Raises:
            ValueError: the URI's scheme or form is unknown, or a package that opens it is missing.
        """
        if "://" not in str(location):
            try:
                path = str(Path(location).expanduser().absolute())
            except RuntimeError as error:  # ~nobody
                raise ValueError(f"storage {location}: {error}") from None
            return cls(fs.LocalFileSystem(), path, path)
        try:
            filesystem, root = fs.FileSystem.from_uri(str(location))
        except Exception as error:  # fsspec's file systems raise what they like
            ways = f": give {WAYS}" if isinstance(error, ValueError) else ""
            raise ValueError(f"storage {redacted_uri(location)}: {redacted_error(error)}{ways}") from None
        if isinstance(filesystem, fs.PyFileSystem):  # fsspec's remember listings: another driver's lease must be seen
            filesystem.handler.fs.invalidate_cache()
            filesystem.handler.fs.dircache.use_listings_cache = False
        root = root.rstrip("/")
        where = (root,) if filesystem.type_name == "local" else redacted_parts(location)
        return cls(filesystem, root, *where)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine, by its path; if not, requests may fail for a moment."""
        return bool(self.filesystem.type_name == "local")

    @property
    def _is_store(self) -> bool:
        """Whether a rename is a copy, and folders are made by what is put there."""
        return self.filesystem.type_name not in RENAMING

    @property
    def location(self) -> str:
        """The path, or the URI as it may be shown: what `Storage.at` opens where the environment has the keys."""
        return self.address + self.options

    @property
    def name(self) -> str:
        """Name of the folder, without what leads to it."""
        return self.root.rpartition("/")[2]

    @property
    def parent(self) -> "Storage":
        """The folder that holds this one."""
        return replace(self, root=self.root.rpartition("/")[0], address=self.address.rpartition("/")[0])

    def sub(self, name: str) -> "Storage":
        """The folder or file `name` inside."""
        return replace(self, root=self._path(name), address=f"{self.address}/{name}")

    def write(self, name: str, content: bytes) -> None:
        """Put a file there as a whole: a reader meets the old content or the new, never a part.

        Raises:
            OSError: it cannot be written; where it is not local, not within PAUSES either.
        """
        for pause in () if self.is_local else PAUSES:
            try:
                self.write_now(name, content)
            except OSError as error:
                logger.warning("%s could not be written, again in %g s: %s", self._path(name), pause, error)
                time.sleep(pause)
            else:
                return
        self.write_now(name, content)

    @as_os_error()
    def write_now(self, name: str, content: bytes) -> None:
        """Write a file as `write` does, but fail at once."""
        target = self._path(name)
        if self.filesystem.type_name not in UNFINISHED_SHOWN:
            with ThreadPoolExecutor(1) as pool:  # Ctrl-C between opening and writing would leave an empty object here
                pool.submit(self._put, target, content).result()
            return
        # Not in the file's own folder: Polars and DuckDB read all that lies in a table's, hidden or not. Under a name
        # of its own: two programs may write a report, or try whether they can write, at the same time.
        temporary = self._path(f"{TEMPORARY_PREFIX}{name.replace('/', '-')}-{token_hex(4)}")
        if not self._is_store:
            self.filesystem.create_dir(self.root, recursive=True)
        try:
            self._put(temporary, content)
            self._move_file(temporary, target)
        except BaseException:
            with suppress(Exception):
                self.filesystem.delete_file(temporary)
            raise

    def remove_temporary(self, folders: Collection[str], files: Collection[str] = ()) -> None:
        """Remove what killed writers have left of files in these folders, and of these files."""
        beginnings = tuple(f"{TEMPORARY_PREFIX}{name}-" for name in (*folders, *files))
        left = [name for name in self.names("", hidden=True) if name.startswith(beginnings)]
        for folder in folders:
            inside = self.names(folder, hidden=True)  # where earlier versions put them
            left += [f"{folder}/{name}" for name in inside if name.startswith(TEMPORARY_PREFIX)]
        self.each(self.remove, left)

    def _put(self, path: str, content: bytes) -> None:
        with self._made(path, lambda: self.filesystem.open_output_stream(path)) as stream:
            stream.write(content)

    def _made(self, path: str, make: Callable[[], _T]) -> _T:
        """What makes a file at a path; some of fsspec's file systems want its folder before, as a store does not."""
        try:
            return make()
        except FileNotFoundError:
            if not isinstance(self.filesystem, fs.PyFileSystem):
                raise
            self.filesystem.create_dir(path.rpartition("/")[0], recursive=True)
            return make()

    @as_os_error()
    def read(self, name: str, first: int | None = None) -> bytes:
        """A file's content, or its `first` bytes alone; FileNotFoundError when there is none.

        An object that is replaced between the requests that a read takes would be read in a mixture: it is read again.
        """
        while True:
            with self.filesystem.open_input_file(self._path(name)) as stream:
                content, version = bytes(stream.read(first)), stream.metadata()
            if not self._is_store or self._version(name) == version:
                return content

    def _version(self, name: str) -> Any:
        with self.filesystem.open_input_file(self._path(name)) as stream:
            return stream.metadata()

    def each(self, work: Callable[[str], _T], names: Iterable[str]) -> list[_T]:
        """What `work` gives for each name; where requests are mostly waiting, several at a time."""
        if self.is_local:
            return [work(name) for name in names]
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return list(pool.map(work, names))

    @as_os_error()
    def remove(self, name: str) -> None:
        """Delete a file; quiet when there is none."""
        with suppress(FileNotFoundError):
            self.filesystem.delete_file(self._path(name))

    @as_os_error()
    def exists(self, name: str) -> bool:
        """Whether a file or folder of that name is there."""
        return bool(self.filesystem.get_file_info(self._path(name)).type != fs.FileType.NotFound)

    @as_os_error()
    def written_at(self, name: str) -> datetime | None:
        """When a file was written, by the clock of where it lies; None when there is none, or its time is not told."""
        written_at: datetime | None = self.filesystem.get_file_info(self._path(name)).mtime
        return written_at

    @as_os_error()
    def names(self, folder: str, *, hidden: bool = False) -> list[str]:
        """The files in a folder, sorted, those that begin with a dot if `hidden`; none where there is no folder."""
        selector = fs.FileSelector(self._path(folder), allow_not_found=True)
        files = (info.base_name for info in self.filesystem.get_file_info(selector) if info.is_file)
        return sorted(name for name in files if hidden or not name.startswith("."))

    @as_os_error()
    def folders(self, folder: str) -> list[str]:
        """The folders in a folder, sorted, those that begin with a dot left out; none where there is no folder."""
        path = self._path(folder)
        deep = self.filesystem.type_name == "gcs"  # its listing tells of folders by what is in them alone
        infos = self.filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=deep))
        inside = (info.path.removeprefix(f"{path}/") + ("" if info.is_file else "/") for info in infos)
        return sorted({name.partition("/")[0] for name in inside if "/" in name and not name.startswith(".")})

    @as_os_error()
    def rename(self, name: str, new_name: str) -> None:
        """Rename a file."""
        self._move_file(self._path(name), self._path(new_name))

    def _move_file(self, source: str, target: str) -> None:
        if not self._is_store:
            self.filesystem.create_dir(target.rpartition("/")[0], recursive=True)
            self.filesystem.move(source, target)
            return
        # As a store's own move would: Azure's is not there yet.
        self._made(target, lambda: self.filesystem.copy_file(source, target))
        self.filesystem.delete_file(source)

    def beside(self, name: str) -> "Storage":
        """A folder of that name beside this one."""
        return self.parent.sub(name)

    @as_os_error()
    def move_folder(self, other: "Storage") -> None:
        """Move this folder and all in it to where `other` is; in a store, file by file and run.json last."""
        if not self._is_store:
            self.filesystem.move(self.root, other.root)
            return
        infos = self.filesystem.get_file_info(fs.FileSelector(self.root, recursive=True))
        names = [info.path.removeprefix(f"{self.root}/") for info in infos if info.is_file]
        for together in ([name for name in names if name != RUN_FILE], [name for name in names if name == RUN_FILE]):
            self.each(lambda name: self._move_file(self._path(name), other._path(name)), together)
        self.delete_folder()

    @as_os_error()
    def delete_folder(self) -> None:
        """Remove this folder and all in it; quiet when it is not there."""
        if self.exists(""):
            with suppress(FileNotFoundError):  # of Google's store, where an object for the folder itself may lack
                self.filesystem.delete_dir(self.root)

    def check_writable(self) -> None:
        """Write and remove a probe.

        Raises:
            ValueError: nothing can be written there; the message says why.
        """
        probe = f"{TEMPORARY_PREFIX}probe"
        try:
            self.write_now(probe, b"")
            self.remove(probe)
        except OSError as error:
            raise ValueError(f"storage {self.location} is not writable: {error}") from error

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}".rstrip("/")


def file_name(trial_id: str) -> str:
    """A stable name that every file system takes, one for each trial: what can be read of the id, and its digest."""
    return f"{safe_name(trial_id.replace(',', '_')[-NAME_LETTERS:])}-{sha256(trial_id.encode()).hexdigest()[:12]}"


def write_json(storage: Storage, name: str, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically."""
    storage.write(name, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def read_json(storage: Storage, name: str) -> dict[str, Any]:
    """Read a JSON file; FileNotFoundError when there is none, ValueError where it does not hold an object."""
    try:
        content = json.loads(storage.read(name))
    except ValueError as error:  # UnicodeDecodeError is one
        raise ValueError(f"{storage.sub(name).location} is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{storage.sub(name).location} holds no JSON object: {shorten(str(content), LONGEST_SHOWN)}")
    return content
