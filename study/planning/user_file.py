"""Load a user's own Python file: what it imports may lie beside it, as for `python FILE`. Imports no torch and no Ray.

A session is left as it was, so that a file that is loaded again is read again, with all that it imports, and two files
with modules of the same names beside them never get each other's.
"""

import ast
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

import models  # noqa: F401, so that it is known already: see `load_file`

PACKAGES = ("models", "search_spaces", "study")  # our code: all that a driver or worker imports of ours

Code = Mapping[str, str]
"""A file's place, below a folder that holds all of them, to its text."""

Files = dict[Path, Path]
"""Where each file belongs, below a folder that holds them all and nothing else, to where it is."""


def load_file(file: Path) -> tuple[ModuleType, Files]:
    """Run the file, with its own folder on the path; what it takes to do so elsewhere.

    That is the file, and each module found in its folder or in the working directory that it imports at its top.
    Modules of PACKAGES are ours whatever lies beside the file, for they are known already.

    Raises:
        ValueError: no such file, or it does not run; the message tells its error and where.
    """
    if not file.is_file():
        raise ValueError(f"no sweep file {file}: no such file")
    spec = importlib.util.spec_from_file_location(f"user_sweep_{file.stem}", file)
    assert spec is not None  # it exists for every path that ends in .py, and so does its loader
    module, real = importlib.util.module_from_spec(spec), file.resolve()
    try:
        imported = _execute(module, real.parent)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ValueError(f"sweep file {file} does not run: {_told(error, real.parent)}") from error
    return module, {Path(file.name): real, **imported}


def _execute(module: ModuleType, folder: Path) -> Files:
    """Run the module's code; the files of the user's that it imported, of which Python then knows nothing any more."""
    assert module.__spec__ is not None
    assert module.__spec__.loader is not None
    before = set(sys.modules)
    importlib.invalidate_caches()
    sys.path.insert(1, str(folder))  # first is the working directory, where a package `x` may hold the file `x/x.py`
    sys.modules[module.__name__] = module  # dataclasses look there
    try:
        module.__spec__.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
        del sys.modules[module.__name__]
        imported = _forget(set(sys.modules) - before, (folder, Path.cwd()))
    return imported


def _forget(names: Iterable[str], roots: Iterable[Path]) -> Files:
    """Take those modules that were found in one of these folders out of sys.modules; their files."""
    places = {name: _place(name) for name in names if _top(name) not in PACKAGES}
    found = {
        name: place for name, place in places.items() if any((root / place).resolve() == _file(name) for root in roots)
    }
    files = {place: _file(name) for name, place in found.items()}
    tops = set(map(_top, found))
    for name in places:
        if _top(name) in tops:  # folders without __init__.py too, which have no file
            del sys.modules[name]
    return files


def _place(name: str) -> Path:
    """Where a module's file lies below the folder in which it is found: `my_recipes.py`, `mine/__init__.py`."""
    package = ["__init__"] if _file(name).name == "__init__.py" else []
    return Path(*name.split("."), *package).with_suffix(".py")


def _file(name: str) -> Path:
    return Path(getattr(sys.modules[name], "__file__", None) or "").resolve()


def _top(name: str) -> str:
    return name.partition(".")[0]


def code_of(files: Mapping[Path, Path]) -> dict[str, str]:
    """The texts of the files."""
    return {place.as_posix(): file.read_text(encoding="utf-8") for place, file in files.items()}


def code_digest(code: Code) -> str:
    """Sixteen hex digits of what files compute, and of the parts that a sweep names.

    Layout, comments and docstrings are left out, and what else `sweep = Sweep(..)` is given: a run's declaration tells.

    Raises:
        SyntaxError: one of them is no Python.
    """
    digest = hashlib.sha256()
    for place, text in sorted(code.items()):
        meaning = _Meaning().visit(ast.parse(text, filename=place))
        digest.update(f"{place}\0{ast.unparse(meaning)}\0".encode())
    return digest.hexdigest()[:16]


class _Meaning(ast.NodeTransformer):
    """What is left of a module when nothing is told twice, see `code_digest`."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Leave out docstrings."""
        return None if isinstance(node.value, ast.Constant) else node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        """Leave out of `sweep = Sweep(..)` all but its parts."""
        if ast.unparse(node.targets[0]) == "sweep" and isinstance(node.value, ast.Call):
            node.value.keywords = [keyword for keyword in node.value.keywords if keyword.arg == "parts"]
        return node


def _told(error: BaseException, folder: Path) -> str:
    """The error in one line, with the last line in the user's folder that led to it."""
    said = one_line(error)
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if Path(frame.filename).resolve().parent == folder]
    if isinstance(error, SyntaxError) or not mine:  # the former says where by itself
        return said
    return f"{said} ({Path(mine[-1].filename).name}, line {mine[-1].lineno})"


def one_line(error: BaseException) -> str:
    """`ZeroDivisionError: division by zero`."""
    return " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())
