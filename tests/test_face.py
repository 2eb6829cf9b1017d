"""What `from study import ...` gives, and that `import study` alone stays light."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import study


@pytest.mark.parametrize("name", study.FACE)
def test_a_name_is_that_of_its_module(name: str) -> None:
    assert getattr(study, name) is getattr(importlib.import_module(study.FACE[name]), name)
    assert name in dir(study)


def test_an_unknown_name_is_refused_as_everywhere() -> None:
    with pytest.raises(AttributeError, match="module 'study' has no attribute 'depth_curves'"):
        _ = study.depth_curves
    with pytest.raises(ImportError):
        importlib.import_module("study.nothing")


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'ray', 'pandas', 'optuna', 'numpy'}"
    command = f"import sys, study; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


@pytest.mark.parametrize("first", ["", "import models"])
def test_packages_of_our_names_in_the_working_directory_are_not_taken_for_ours(tmp_path: Path, first: str) -> None:
    """Most deep-learning repositories have a `models/`. One that is imported already is named."""
    for name in ("models", "search_spaces"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("theirs = 1")
    code = f"import sys; sys.path.insert(0, '')\n{first}\nfrom study.run import main; sys.exit(main([]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    if first:
        assert f"ImportError: study needs its own package 'models', and {tmp_path}" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (0, "")
        assert "depth_sweep" in done.stdout
