"""A training that goes on from a checkpoint ends as one that was never interrupted, bit for bit."""

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import ray
import torch
from photographs import small_streamed

from search_spaces.recipes import isometric
from search_spaces.sweep import Float, Scale, Sweep
from study import launch
from study.config import TrialConfig
from study.datasets import AnyData, load_dataset
from study.launch import run_sweep
from study.planning.plan import Plan, make_plan
from study.records import read_table
from study.store.checkpoints import Checkpoints
from study.store.run_file import open_run_file, save_run_file
from study.store.storage import Storage
from study.sweeps import NamedSweep
from study.trainer import EpochRecord, Training
from study.tuner import trainable

CLOCK = ("seconds", "images_per_second")
METHOD = {"initializer": "delta_orthogonal", "regularizer": "orthonormal", "modulation": "pairwise"}
FIELDS = [
    METHOD | {"augmentation": "standard", "momentum": 0.9, "nesterov": True, "modulation_band": 1.001},
    METHOD | {"modulation": "cumulative", "modulation_schedule": "cosine", "architecture": "residual"},
    {"optimizer": "adamw", "learning_rate": 0.002},
    {"optimizer": "lars", "regularizer": "spectral_isometry", "warmup_fraction": 0.3, "gradient_clip": 1.0},
    {"precision": "bf16", "epochs": None, "steps": 14, "learning_rate_schedule": "cosine"},
]
SAVED = {"epochs": 4, "batch_size": 64, "depth": 8, "diagnostics_every_epochs": 3, "checkpoint_every_epochs": 1}


@pytest.fixture(scope="module")
def digits() -> AnyData:
    """The first 200 of each split."""
    torch.set_num_threads(1)
    data = load_dataset("digits")
    cut = {
        name: dataclasses.replace(split, images=split.images[:200], labels=split.labels[:200])
        for name, split in (("train", data.train), ("validation", data.validation), ("test", data.test))
    }
    return dataclasses.replace(data, **cut)


def training(config: TrialConfig, data: AnyData) -> Training:
    return Training(config, data, torch.device("cpu"))


def without_clock(records: list[EpochRecord]) -> list[dict]:
    rows = [dataclasses.asdict(record) for record in records]
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in rows]


def check_continuation(config: TrialConfig, data: AnyData) -> None:
    """From each of its checkpoints a training comes to the same end."""
    whole, saved = training(config, data), []
    records = list(whole.epochs(evaluate_test=True, keep=saved.append))
    assert len(saved) == len(records) == 4
    for epochs, checkpoint in enumerate(saved, 1):
        again = training(config, data)
        again.restore(checkpoint)
        assert again.records == records[:epochs]  # seconds too: they are those of then
        assert without_clock(list(again.epochs(evaluate_test=True))) == without_clock(records)
        for ours, theirs in zip(again.network.state_dict().values(), whole.network.state_dict().values(), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("fields", FIELDS, ids=str)
def test_going_on_is_as_never_having_stopped(digits: AnyData, fields: dict) -> None:
    check_continuation(TrialConfig(**(SAVED | fields)), digits)


def test_going_on_with_a_streamed_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {"network_size": "imagenet", "depth": 18, "width": 4, "batch_size": 16, "augmentation": "standard"}
    data = small_streamed(tmp_path, monkeypatch)
    check_continuation(TrialConfig(**(SAVED | shape | {"dataset": "imagefolder"})), data)


def test_a_training_at_its_end_takes_no_step_more(digits: AnyData, monkeypatch: pytest.MonkeyPatch) -> None:
    config, saved = TrialConfig(**(SAVED | {"checkpoint_every_epochs": 99})), []
    records = list(training(config, digits).epochs(keep=saved.append))
    again = training(config, digits)
    again.restore(*saved)
    monkeypatch.setattr(Training, "step", pytest.fail)
    assert list(again.epochs(keep=pytest.fail)) == records


def test_checkpoints_come_every_k_epochs_and_at_the_end_and_only_where_asked_for(digits: AnyData) -> None:
    for every, count in ((None, 0), (1, 4), (2, 2), (3, 2)):
        saved: list[bytes] = []
        list(training(TrialConfig(**(SAVED | {"checkpoint_every_epochs": every})), digits).epochs(keep=saved.append))
        assert len(saved) == count


def test_a_diverged_training_stays_ended(digits: AnyData) -> None:
    broken, saved = dataclasses.replace(digits, std=(1e-45,)), []
    (record,) = training(TrialConfig(**SAVED), broken).epochs(keep=saved.append)
    again = training(TrialConfig(**SAVED), broken)
    again.restore(*saved)
    assert list(again.epochs()) == [record]


@pytest.mark.parametrize("wrong", [{"depth": 14}, {"width": 8}], ids=str)
def test_what_does_not_fit_or_cannot_be_read_is_refused(digits: AnyData, wrong: dict) -> None:
    saved: list[bytes] = []
    list(training(TrialConfig(**(SAVED | wrong | {"epochs": 1})), digits).epochs(keep=saved.append))
    with pytest.raises(ValueError, match=r"^does not fit: [^\n]+$"):
        training(TrialConfig(**SAVED), digits).restore(*saved)
    for content in (b"", b"junk", saved[0][:-9], pickle.dumps({"network": os.system})):
        with pytest.raises(ValueError, match=r"^cannot be read: [^\n]+$"):
            training(TrialConfig(**SAVED), digits).restore(content)


@pytest.fixture
def long_sweep() -> NamedSweep:
    """A search trial and a confirmation of six epochs, a checkpoint every second one."""
    sweep = Sweep(
        compare={"depth": (8,), "recipe": {"isometric": isometric}},
        search=lambda fields: {"learning_rate": Float(1e-3, 0.3, log=True)},
        fixed={"batch_size": 256, "epochs": 6, "checkpoint_every_epochs": 2},
        scales={"quick": Scale(fixed={"dataset": "digits"})},
        trials_per_cell=1,
        confirm_seeds=1,
    )
    return NamedSweep("long", "Does it go on?", sweep)


def dying_trial(config: dict, *, data: dict, checkpoints: object) -> None:
    """run_trial, whose process is killed once in its fifth epoch; it runs in a worker."""
    original, mark = Training.run_epoch, Path(os.environ["DIED"]) / config["phase"]

    def run_epoch(self: Training, epoch: int, **options: bool) -> EpochRecord:
        with (mark.parent / f"{config['phase']}-epochs").open("a") as trained:
            trained.write(str(epoch))
        if epoch == 5 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, epoch, **options)

    Training.run_epoch = run_epoch
    try:
        trainable.run_trial(config, data=data, checkpoints=checkpoints)
    finally:
        Training.run_epoch = original


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_trial_whose_worker_is_killed_goes_on_and_leaves_the_same_rows(
    long_sweep: NamedSweep, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_sweep(long_sweep, run="whole")
    dying = died(dying_trial, elsewhere)
    monkeypatch.setattr(launch, "execute", partial(launch.execute, trainable=dying))
    broken = run_sweep(long_sweep, run="broken")
    for phase in ("search", "confirm"):
        assert (elsewhere / f"{phase}-epochs").read_text() == "12345" + "56"
    trials = read_table(broken.root, "trials")
    assert trials.attempts.tolist() == [2, 2]
    assert trials.resumed_epochs.tolist() == [4, 4]
    assert read_table(whole.root, "trials").resumed_epochs.tolist() == [0, 0]
    check_same_rows(whole, broken)


def died(function, folder: Path):
    """The function, told by its environment where to leave its marks; shipped by value to workers."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

    def told(config: dict, *, data: dict, checkpoints: object) -> None:
        os.environ["DIED"] = str(folder)
        function(config, data=data, checkpoints=checkpoints)

    return told


def check_same_rows(whole: Storage, broken: Storage) -> None:
    """Equal but for the clock, the place and the run's name; nothing left of the checkpoints; equal weights."""
    assert broken.names("weights") != []
    assert not broken.exists("checkpoints")
    for name in ("epochs", "layers"):
        pd.testing.assert_frame_equal(*(measured(storage, name) for storage in (whole, broken)))
    trials = [measured(storage, "trials") for storage in (whole, broken)]
    same = [*TrialConfig.model_fields, "val_accuracy", "test_accuracy", "train_loss", "val_loss", "steps_completed"]
    pd.testing.assert_frame_equal(*(table[same] for table in trials))
    for table, epochs in zip(
        trials, (measured(storage, "epochs", clock=True) for storage in (whole, broken)), strict=True
    ):
        assert table.train_seconds.sum() == pytest.approx(epochs.seconds.sum())


def measured(storage: Storage, name: str, *, clock: bool = False) -> pd.DataFrame:
    table = read_table(storage.root, name)
    table["trial_id"] = table.trial_id.str.partition(":")[2]
    table = table.sort_values(
        [column for column in ("trial_id", "epoch", "layer") if column in table], ignore_index=True
    )
    return table if clock else table.drop(columns="seconds", errors="ignore")


SEARCH = "long-quick:depth=8,recipe=isometric:search:0"
POINT = 0.0123  # where no sampler begins


def begun_trial(plan: Plan, storage: Storage) -> bytes:
    """Leave what a driver that was killed leaves: four epochs of a search trial at POINT."""
    config = plan.cells[0].config({"learning_rate": POINT}, seed=plan.search_seed(0), phase="search")
    torch.set_num_threads(1)
    saved: list[bytes] = []
    for record in training(config, load_dataset("digits")).epochs(keep=saved.append):
        if record.epoch == 4:
            break
    save_run_file(storage, open_run_file(storage, plan))
    Checkpoints(storage).save(SEARCH, config, saved[-1])
    return saved[-1]


@pytest.mark.usefixtures("ray_session", "elsewhere")
def test_a_new_driver_goes_on_at_the_point_that_the_trial_began_with(long_sweep: NamedSweep) -> None:
    storage = Storage.at("results/long-quick")
    begun_trial(make_plan(long_sweep), storage)
    run_sweep(long_sweep)
    trials = read_table("long-quick", "trials").set_index("trial_id")
    assert trials.learning_rate.tolist() == [POINT, POINT]
    assert trials.resumed_epochs[SEARCH] == 4
    epochs = read_table("long-quick", "epochs")
    assert epochs[epochs.trial_id == SEARCH].epoch.tolist() == [1, 2, 3, 4, 5, 6]
    assert trials.train_seconds[SEARCH] == pytest.approx(epochs[epochs.trial_id == SEARCH].seconds.sum())
    assert not storage.exists("checkpoints")


@pytest.mark.usefixtures("ray_session", "elsewhere")
def test_a_checkpoint_that_is_no_good_costs_its_epochs_and_is_spoken_of_once(
    long_sweep: NamedSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sound by its digest, and not to be read: as another version of torch or of this code may leave it."""
    plan, storage = make_plan(long_sweep), Storage.at("results/long-quick")
    content = begun_trial(plan, storage)
    config = plan.cells[0].config({"learning_rate": POINT}, seed=plan.search_seed(0), phase="search")
    Checkpoints(storage).save(SEARCH, config, content[: len(content) // 2])
    run_sweep(long_sweep)
    trials = read_table("long-quick", "trials")
    assert trials.status.tolist() == ["ok", "ok"]
    assert (trials.attempts.tolist(), trials.resumed_epochs.tolist()) == ([1, 1], [0, 0])
    assert capsys.readouterr().out.count(f"the checkpoint of {SEARCH} cannot be read") == 1


LONG_FILE = '''"""Does it go on?"""
from search_spaces.recipes import isometric
from search_spaces.sweep import Float, Scale, Sweep

sweep = Sweep(
    compare={"depth": (20,), "recipe": {"isometric": isometric}},
    search=lambda fields: {"learning_rate": Float(0.01, 0.3, log=True)},
    scales={"quick": Scale(fixed={"dataset": "digits", "epochs": 30, "checkpoint_every_epochs": 1})},
    trials_per_cell=1,
    confirm_seeds=1,
)
'''
COMMAND = [sys.executable, "-m", "study.run", "my_sweep.py"]
PATIENCE_SECONDS = 180.0


@pytest.mark.slow
def test_the_same_command_goes_on_after_the_driver_is_killed(elsewhere: Path) -> None:
    (elsewhere / "my_sweep.py").write_text(LONG_FILE)
    storage = Storage.at("results/my_sweep-quick")
    with subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not storage.names("checkpoints"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        run.kill()
    subprocess.run(COMMAND, check=True, capture_output=True)
    searched, confirmed = read_table("my_sweep-quick", "trials").to_dict("records")
    assert searched["status"] == confirmed["status"] == "ok"
    assert searched["resumed_epochs"] >= 1
    assert confirmed["resumed_epochs"] == 0
    epochs = read_table("my_sweep-quick", "epochs")
    assert epochs.epoch.tolist() == [*range(1, 31)] * 2
    assert not storage.exists("checkpoints")
