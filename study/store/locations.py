"""What may be shown of a place and of what went wrong there: no user, password or option that may be a secret."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten

# Schemes in which a name before @ is no key: Azure's account or container, Google's `anonymous`, HDFS's user, Hugging
# Face's repository.
NAME_BEFORE_AT = ("abfs", "abfss", "az", "gs", "gcs", "hdfs", "viewfs", "hf")
# Options that say where Azure is when it is not the public cloud: no variable of the environment says that.
SHOWN_OPTIONS = ("blob_storage_authority", "dfs_storage_authority", "enable_tls")
LONGEST_ERROR = 1000  # characters: HDFS lists every folder in which it has looked for Java


def redacted_uri(location: str | Path) -> str:
    """A path, or a URI as it may be shown."""
    return "".join(redacted_parts(location)) if "://" in str(location) else str(location)


def redacted_parts(uri: str | Path) -> tuple[str, str]:
    """What may be shown of a URI: its address, and its options with their question mark, empty where none is left."""
    scheme, _, rest = str(uri).partition("://")
    address, _, options = rest.partition("?")
    user, at, place = address.rpartition("@")  # the last one: a password may hold others
    if ":" in user or scheme.removeprefix("fsspec+") not in NAME_BEFORE_AT:
        user = at = ""
    kept = [option for option in options.split("&") if option.partition("=")[0] in SHOWN_OPTIONS]
    return f"{scheme}://{user}{at}{place.rstrip('/') or place}", f"?{'&'.join(kept)}" if kept else ""


def redacted_error(error: Exception) -> str:
    """What an error says, on one line, with its URIs as they may be shown: Azure's are signed."""
    line = shorten(str(error), LONGEST_ERROR, placeholder=" ...")
    return re.sub(r"[\w+.:-]+://[^\s'\"]+", lambda uri: redacted_uri(uri[0]), line)


def safe_name(text: str) -> str:
    """A file's name made from data: it leads nowhere else, on any system, and is not hidden."""
    return re.sub(r"[^A-Za-z0-9.=,_-]", "_", text).lstrip(".") or "_"


@contextmanager
def as_os_error() -> Iterator[None]:
    """All that a file system raises, as OSError without secrets: Azure's and fsspec's have errors of their own."""
    try:
        yield
    except Exception as error:
        text = redacted_error(error)
        if isinstance(error, OSError) and text == str(error):
            raise
        raise (FileNotFoundError if isinstance(error, FileNotFoundError) else OSError)(text) from None
