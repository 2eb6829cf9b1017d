"""Own parts and own arrays in whole runs, on Ray's workers, and what is made of such a run afterwards."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from study import launch
from study.launch import run_sweep
from study.records import read_table
from study.replay import replay
from study.report.page import write_report
from study.run import main
from study.store.storage import Storage
from study.sweeps import load_sweep
from study.trainer import load_network

pytestmark = pytest.mark.usefixtures("ray_session", "elsewhere")

PENALTY = '''"""Beside the sweep."""


def lasso(weight, layer):
    return weight.abs().sum() if layer.stage else 0.0
'''
SWEEP = '''"""Mine?"""
import torch
from my_penalty import lasso
from search_spaces.sweep import Scale, Sweep


class Halved(torch.nn.Module):
    def forward(self, features):
        return torch.tanh(features) / 2


sweep = Sweep(
    compare={"activation": ("Tanh", "halved")},
    fixed={"depth": 8, "width": 4, "batch_size": 16, "regularizer": "lasso", "augmentation": "standard"},
    scales={"quick": Scale(fixed={"dataset": "mine", "epochs": 2})},
    confirm_seeds=1,
    parts={"regularizer": {"lasso": lasso}, "activation": {"halved": Halved}},
)
'''


def arrays(seed: int = 0) -> tuple[np.ndarray, ...]:
    """Two classes of noise, one with dark tops: greyscale, not square."""
    generator = np.random.default_rng(seed)
    labels = np.arange(120) % 2
    images = generator.random((120, 10, 8))
    images[labels == 1, :5] /= 4
    return images[:80], labels[:80], images[80:], labels[80:]


def test_a_run_with_own_parts_on_own_arrays_from_start_to_replay(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "my_penalty.py").write_text(PENALTY)
    (elsewhere / "mine.py").write_text(SWEEP)
    named, data = load_sweep("mine.py"), {"mine": arrays()}
    storage = run_sweep(named, data=data)
    trials = read_table("mine-quick", "trials")
    assert dict(zip(trials.activation, trials.status, strict=True)) == {"Tanh": "ok", "halved": "ok"}
    assert set(trials.dataset) == {"mine"}
    assert read_table("mine-quick", "layers").dead_fraction.notna().all()
    assert "mine" in Path(str(write_report(storage))).read_text()

    with monkeypatch.context() as patch:  # it goes on, and has nothing left to do
        patch.setattr(launch, "execute", lambda *_: pytest.fail("a finished trial is repeated"))
        run_sweep(named, data=data)
        with pytest.raises(ValueError, match=r"made on other data [^$]*data\.mine\.train\.sha256"):
            run_sweep(named, data={"mine": arrays(seed=1)})
    assert main(["mine.py"]) == 2
    assert "dataset = 'mine': no such data set; " in capsys.readouterr().err

    run_sweep(named, set={"dataset": "digits", "activation": "halved"}, run="on-digits")
    (elsewhere / "mine.py").unlink()
    (elsewhere / "my_penalty.py").unlink()
    network = load_network("mine-quick", trials[trials.activation == "halved"].trial_id.iloc[0])
    assert network.class_names == ("0", "1")
    assert network(torch.zeros(2, 1, 10, 8)).shape == (2, 2)
    check_replays("on-digits")
    Path("results/on-digits/code/my_penalty.py").unlink()
    with pytest.raises(ValueError, match=r"my_penalty\.py is missing"):
        load_network("on-digits", read_table("on-digits", "trials").trial_id.iloc[0])


def check_replays(run: str) -> None:
    (trial_id,) = read_table(run, "trials").trial_id
    said = StringIO()
    assert replay(run, trial_id, None, Console(file=said, width=200)), said.getvalue()


def test_a_file_may_read_its_own_data_set(elsewhere: Path) -> None:
    np.savez(elsewhere / "mine.npz", **dict(zip(("X", "y", "X_test", "y_test"), arrays(), strict=True)))
    reader = 'import numpy as np\n\n\ndef read():\n    return tuple(np.load("mine.npz").values())\n\n\nsweep = Sweep('
    text = SWEEP.replace("sweep = Sweep(", reader).replace("parts={", 'parts={"dataset": {"mine": read}, ')
    (elsewhere / "mine.py").write_text(text)
    (elsewhere / "my_penalty.py").write_text(PENALTY)
    assert main(["mine.py", "--set", "activation=halved"]) == 0
    check_replays("mine-quick")
    assert Storage.at("results/mine-quick/code").names("") == ["mine.py", "my_penalty.py"]
