"""The files of a sweep that has parts of its own: a copy stays with the run, so that its nets can be built again."""

from study.planning.user_file import Code, code_digest
from study.store.run_file import read_run_file
from study.store.storage import Storage

FOLDER = "code"  # and the key of run.json that lists the files, the sweep's first


def write_code(storage: Storage, code: Code) -> None:
    """Keep the files; none where there are none."""
    for place, text in code.items():
        storage.write(f"{FOLDER}/{place}", text.encode())


def read_code(storage: Storage) -> Code:
    """The files that a run keeps; empty where its sweep had no parts of its own.

    Raises:
        ValueError: one is missing, or has changed since.
    """
    content = read_run_file(storage)
    code = {place: _read(storage, place) for place in content.get(FOLDER, ())}
    declared = content.get("declaration", {}).get("parts", {}).get("code")
    if declared is not None and declared != _digest(code):
        raise ValueError(f"{storage.sub(FOLDER).location} has changed since the run was made: put a copy of it back")
    return code


def _read(storage: Storage, place: str) -> str:
    path = f"{FOLDER}/{place}"
    try:
        return storage.read(path).decode(errors="replace")
    except FileNotFoundError:
        where = storage.sub(path).location
        raise ValueError(f"{where} is missing, the code of the run's own parts: put a copy of it back") from None


def _digest(code: Code) -> str | None:
    try:
        return code_digest(code)
    except SyntaxError:
        return None
