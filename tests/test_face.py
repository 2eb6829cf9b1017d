"""What `from study import ...` gives, and that `import study` alone stays light."""

import importlib
import subprocess
import sys

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
