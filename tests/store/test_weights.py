"""The nets that a run keeps: given back, they score what the table says."""

from pathlib import Path

import pytest
import torch

from models.networks import PlainCNN
from study.config import TrialConfig
from study.datasets import load_dataset
from study.launch import run_sweep
from study.records import read_table
from study.store.storage import Storage, file_name, write_json
from study.store.weights import Weights, read_weights, write_weights
from study.sweeps import NamedSweep
from study.trainer import load_network
from study.training.evaluation import evaluate
from study.training.network import build_network
from study.training.streaming import open_batches

CONFIG = TrialConfig(epochs=1, depth=8, width=4, learning_rate_drops=(0.2,))
REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "depth_sweep-quick"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage.at(tmp_path / "run")
    write_json(storage, "run.json", {})
    return storage


def keep(storage: Storage) -> PlainCNN:
    """A fresh net's weights, kept as those of trial t:0."""
    network = build_network(CONFIG, 3, 7)
    write_weights(storage, "t:0", Weights("t:0", CONFIG, 3, 7, network.state_dict()).to_bytes())
    return network


def test_a_net_comes_back_with_its_weights_in_eval_mode(storage: Storage) -> None:
    kept, loaded = keep(storage), load_network(storage.root, "t:0")
    assert not loaded.training
    for ours, theirs in zip(loaded.state_dict().values(), kept.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert read_weights(storage, "t:0").config == CONFIG


def test_torch_alone_opens_the_file(storage: Storage) -> None:
    keep(storage)
    (name,) = storage.names("weights")
    content = torch.load(Path(storage.root) / "weights" / name, weights_only=True)
    assert content["trial_id"] == "t:0"
    assert content["config"]["depth"] == 8
    assert all(tensor.dtype in {torch.float32, torch.int64} for tensor in content["state"].values())


@pytest.mark.usefixtures("ray_session", "elsewhere")
def test_a_confirmed_net_scores_what_its_row_says(tiny_sweep: NamedSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    writes, write = [], Storage.write
    monkeypatch.setattr(Storage, "write", lambda self, name, content: writes.append(name) or write(self, name, content))
    run_sweep(tiny_sweep, set={"recipe": "isometric"}, trials_per_cell=1)
    trials = read_table("tiny-quick", "trials")
    confirmed = trials[trials.phase == "confirm"]
    assert len(confirmed) == len(Storage.at("results/tiny-quick").names("weights")) == 2
    kept = [at for at, name in enumerate(writes) if name.startswith("weights/")]
    assert [writes[at + 3].partition("/")[0] for at in kept] == ["trials"] * 2  # the commit mark comes last
    batches = open_batches(load_dataset("digits"), torch.device("cpu"), augment=False, seed=0)
    for row in confirmed.to_dict("records"):
        network = load_network("tiny-quick", row["trial_id"])
        loss, accuracy = evaluate(network, batches.evaluation("validation"))
        assert accuracy == row["val_accuracy"]
        assert loss == pytest.approx(row["val_loss"], rel=1e-5)
        assert evaluate(network, batches.evaluation("test"))[1] == row["test_accuracy"]
    (searched,) = trials[trials.phase == "search"].trial_id
    with pytest.raises(ValueError, match=r"keeps no weights of a trial 'tiny-quick.*only those .* phase confirm"):
        load_network("tiny-quick", searched)


def test_a_run_that_kept_none_and_one_that_is_not_there_are_told_apart() -> None:
    confirmed = read_table(REFERENCE, "trials").query("phase == 'confirm'").trial_id.iloc[0]
    with pytest.raises(ValueError, match="depth_sweep-quick keeps no weights of a trial"):
        load_network(REFERENCE, confirmed)
    with pytest.raises(ValueError, match="no run nowhere"):
        load_network("nowhere", confirmed)


def test_a_damaged_file_is_named(storage: Storage) -> None:
    keep(storage)
    (name,) = storage.names("weights")
    storage.write(f"weights/{name}", storage.read(f"weights/{name}")[:-100])
    with pytest.raises(ValueError, match=rf"weights/{name}: cannot be read: [^\n]+$"):
        load_network(storage.root, "t:0")


def test_a_file_of_another_trial_is_refused(storage: Storage) -> None:
    keep(storage)
    (name,) = storage.names("weights")
    storage.write(f"weights/{file_name('t:1')}.pt", storage.read(f"weights/{name}"))
    with pytest.raises(ValueError, match=r"t_1-\w+\.pt: is of trial 't:0': files were swapped or renamed$"):
        load_network(storage.root, "t:1")
