"""A whole run through Ray, as a user starts it. All tests here share one Ray session."""

import dataclasses
import json
import sys
from functools import partial
from pathlib import Path

import optuna
import pandas as pd
import pytest
import ray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sweep_files import TINY_FILE

from study import datasets, launch
from study.launch import run_sweep
from study.options import Options
from study.planning.plan import Overrides, make_plan
from study.prepare import prepared_run
from study.records import read_table
from study.report.page import FAILED
from study.run import main
from study.search.cells import CellStudies
from study.store.schemas import SCHEMAS
from study.store.storage import Storage, read_json
from study.sweeps import NamedSweep
from study.trainer import Training
from study.training.epoch_record import EpochRecord
from study.tuner import trainable

pytestmark = pytest.mark.usefixtures("ray_session", "elsewhere")


@pytest.fixture
def my_sweep(elsewhere: Path) -> str:
    (elsewhere / "my_sweep.py").write_text(TINY_FILE)
    return "my_sweep.py"


def test_a_run_from_the_command_line_and_again(my_sweep: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([my_sweep]) == 0
    shown = capsys.readouterr().out
    assert "8/8 trials" in shown
    assert "Linear baseline (logistic regression on the pixels, │ in the bars): 0.9" in shown
    assert 'pd.read_parquet("' in shown
    assert Path("results/my_sweep-quick/depth_curve.png").stat().st_size > 10_000
    assert Path("results/my_sweep-quick/report.html").stat().st_size > 1_000_000
    check_tables()
    before = pd.read_parquet("results/my_sweep-quick/trials")
    assert main([my_sweep]) == 0
    assert "trials are done" not in capsys.readouterr().out
    pd.testing.assert_frame_equal(before, pd.read_parquet("results/my_sweep-quick/trials"))
    assert main([my_sweep, "--trials", "3"]) == 0
    assert len(read_table("my_sweep-quick", "trials")) == 10


def check_tables() -> None:
    """One row a trial, complete; epochs and layers that belong to trials."""
    trials = read_table("my_sweep-quick", "trials")
    assert list(trials.columns) == SCHEMAS["trials"].names
    assert trials.trial_id.is_unique
    assert set(trials.status) == {"ok"}
    assert trials.groupby("phase").size().to_dict() == {"search": 4, "confirm": 4}
    assert (trials.test_accuracy.notna() == (trials.phase == "confirm")).all()
    measured = ["val_accuracy", "train_loss", "parameters", "images_per_second", "peak_memory_bytes", "started_at"]
    assert trials[[*measured, "finished_at", "host", "device", "commit", "config_hash"]].notna().all(axis=None)
    assert (trials.finished_at > trials.started_at).all()
    assert (trials.peak_memory_bytes > 100e6).all()
    epochs, layers = (read_table("my_sweep-quick", name) for name in ("epochs", "layers"))
    assert epochs.groupby("trial_id").epoch.apply(list).to_dict() == {trial_id: [1, 2] for trial_id in trials.trial_id}
    assert layers.groupby("trial_id").size().to_dict() == dict.fromkeys(trials.trial_id, 2 * 7)
    last = epochs[epochs.epoch == 2].set_index("trial_id").val_accuracy
    assert last.loc[trials.trial_id].tolist() == trials.val_accuracy.tolist()


def test_the_run_file_declares_the_run(my_sweep: str) -> None:
    assert main([my_sweep, "--run", "named", "--trials", "1", "--set", "recipe=residual"]) == 0
    content = json.loads(Path("results/named/run.json").read_text())
    assert content["declaration"]["cells"].keys() == {"depth=8,recipe=residual"}
    assert content["versions"]["torch"]
    assert content["sampler"] == "tpe"
    assert 0.9 < content["linear_baseline"]["digits"]["validation_accuracy"] < 1.0
    assert content["wall_clock"]["measured_seconds"] > 0
    assert content["wall_clock"]["forecast_seconds"] > 0
    assert not Path("results/named/ray").exists()


@pytest.mark.slow
def test_failures_and_divergence_leave_rows_and_the_run_goes_on(
    tiny_sweep: NamedSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that raises, one that runs out of memory and one that diverges, among sound ones."""
    execute = launch.execute
    monkeypatch.setattr(launch, "execute", partial(execute, trainable=faulty_trial))
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test module
    storage = run_sweep(tiny_sweep)
    trials = read_table(storage.root, "trials").set_index("trial_id")
    assert trials.index.is_unique
    isometric = "tiny-quick:depth=8,recipe=isometric"
    assert trials.status[f"{isometric}:search:0"] == "failed"
    assert trials.error[f"{isometric}:search:0"].endswith("ZeroDivisionError: as a bug would")
    assert trials.attempts[f"{isometric}:search:0"] == 2
    assert trials.status[f"{isometric}:search:1"] == "out_of_memory"
    he = trials.loc["tiny-quick:depth=8,recipe=he_l2:search:1"]
    assert he.status == "diverged"
    assert pd.isna(he.val_accuracy)
    assert trials.groupby("phase").size().to_dict() == {"search": 4, "confirm": 2}
    check_journal(Path(storage.root), trials)
    monkeypatch.setattr(launch, "execute", execute)  # repaired
    run_sweep(tiny_sweep)
    again = read_table(storage.root, "trials").set_index("trial_id")
    assert again.index.is_unique
    assert (again.status[f"{isometric}:search:0"], again.status[f"{isometric}:search:1"]) == ("ok", "out_of_memory")
    assert again.learning_rate[f"{isometric}:search:0"] == trials.learning_rate[f"{isometric}:search:0"]
    assert again.groupby("phase").size().to_dict() == {"search": 4, "confirm": 4}
    assert again.finished_at[he.name] == he.finished_at


def check_journal(run: Path, trials: pd.DataFrame) -> None:
    """The exported studies say what the table says."""
    journal = JournalStorage(JournalFileBackend(str(run / "optuna.journal")))
    states = {"ok": "COMPLETE", "diverged": "COMPLETE", "failed": "FAIL", "out_of_memory": "FAIL"}
    for cell, rows in trials.groupby("cell"):
        study = optuna.load_study(study_name=str(cell), storage=journal)
        told = {trial.user_attrs["trial_id"]: trial.state.name for trial in study.trials}
        assert told == {trial_id: states[status] for trial_id, status in rows.status.items()}


@pytest.mark.slow
def test_a_run_whose_first_trials_all_fail_alike_stops_and_shows_the_error_once(
    my_sweep: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "execute", partial(launch.execute, trainable=broken_trial))
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    assert main([my_sweep, "--max-failures", "0"]) == 1
    assert capfd.readouterr().err == "error: stopped: the first trials all failed with ZeroDivisionError: always\n"
    assert set(read_table("my_sweep-quick", "trials").status) == {"failed"}


def broken_trial(config: dict, *, data: dict) -> None:
    """A trial that cannot work."""
    raise ZeroDivisionError("always")


@pytest.mark.slow
def test_data_travels_once_and_is_mapped_without_a_copy(my_sweep: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "execute", partial(launch.execute, trainable=looking_trial))
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    assert main([my_sweep]) == 0
    assert set(read_table("my_sweep-quick", "trials").status) == {"ok"}


def looking_trial(config: dict, *, data: dict) -> None:
    """run_trial, in a worker that may not read data by itself and looks at what it is given."""
    for split in vars(ray.get(data["digits"])).values():
        if hasattr(split, "images"):
            assert not split.images.flags.writeable  # Ray's own memory, shared by all workers of a node
            assert not split.images.flags.owndata
    datasets.load_dataset = None  # whoever reads or fetches a set here fails
    trainable.run_trial(config, data=data)


@pytest.mark.slow
def test_a_time_budget_ends_a_run_in_good_order(my_sweep: str) -> None:
    assert main([my_sweep, "--time-budget", "1s"]) == 0
    assert len(read_table("my_sweep-quick", "trials")) < 8
    assert "wall_clock" not in read_json(
        Storage.at("results/my_sweep-quick"), "run.json"
    )  # it says nothing of the whole


@pytest.mark.slow
def test_a_full_disk_ends_the_run_in_good_order(
    my_sweep: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, writes = Storage.write, []

    def until_full(self: Storage, name: str, content: bytes) -> None:
        writes.append(name)
        if name.startswith("trials/") and sum(write.startswith("trials/") for write in writes) > 3:
            raise OSError(28, "No space left on device")
        whole(self, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "write", until_full)
        assert main([my_sweep]) == 1
    assert "No space left on device" in capfd.readouterr().err
    assert len(read_table("my_sweep-quick", "trials")) == 3
    assert main([my_sweep]) == 0
    check_tables()


def test_hopeless_trials_are_pruned_and_leave_their_row(
    tiny_sweep: NamedSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hopeless(_self: CellStudies, trial_id: str, epoch: int, _accuracy: float) -> bool:
        return trial_id.endswith("search:1") and epoch == 2

    monkeypatch.setattr(CellStudies, "report", hopeless)
    storage = run_sweep(tiny_sweep, set={"epochs": 3, "recipe": "he_l2"})
    trials = read_table(storage.root, "trials").set_index("trial_id")
    pruned = trials.loc["tiny-quick:depth=8,recipe=he_l2:search:1"]
    assert (pruned.status, pruned.epochs_completed) == ("pruned", 2)
    assert pd.isna(pruned.val_accuracy)
    assert 0 < pruned.best_val_accuracy <= 1
    assert trials.status.value_counts().to_dict() == {"ok": 3, "pruned": 1}


def faulty_trial(config: dict, *, data: dict) -> None:
    """run_trial, whose training breaks for three of the trials; it runs in a worker."""
    original = Training.run_epoch

    def run_epoch(self: Training, epoch: int, **options: bool) -> EpochRecord:
        name = config["trial_id"].partition("recipe=")[2]
        if name == "isometric:search:0":
            raise ZeroDivisionError("as a bug would")
        if name == "isometric:search:1":
            raise MemoryError("as a full machine would")
        status = "diverged" if name == "he_l2:search:1" else "ok"
        return dataclasses.replace(original(self, epoch, **options), status=status)

    Training.run_epoch = run_epoch
    try:
        trainable.run_trial(config, data=data)
    finally:
        Training.run_epoch = original


@pytest.mark.parametrize("option", ["--cpus-per-trial", "--gpus-per-trial"])
def test_more_than_any_node_has_is_refused(my_sweep: str, option: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([my_sweep, option, "999"]) == 2
    error = capfd.readouterr().err
    assert "999" in error
    assert "the largest node has" in error
    assert read_table("my_sweep-quick", "trials").empty


def test_a_storage_uri_holds_the_run(tiny_sweep: NamedSweep, elsewhere: Path) -> None:
    run_sweep(tiny_sweep, set={"recipe": "he_l2"}, trials_per_cell=1, storage=f"file://{elsewhere}/shared")
    assert len(read_table(f"file://{elsewhere}/shared/tiny-quick", "trials")) == 3


def test_fresh_starts_anew(tiny_sweep: NamedSweep) -> None:
    overrides = Overrides(fields={"recipe": "he_l2"}, trials_per_cell=1)
    first = read_table(run_sweep(tiny_sweep, set={"recipe": "he_l2"}, trials_per_cell=1).root, "trials")
    with prepared_run(make_plan(tiny_sweep, overrides=overrides), Options(fresh=True), print) as prepared:
        assert prepared.finished_trials == []
    assert len(first) == 3


TYPED_FILE = """
\"\"\"Which values does a search take?\"\"\"
from search_spaces.sweep import Choice, Scale, Sweep

sweep = Sweep(
    compare={"learning_rate_drops": ((0.5,), (0.5, 0.75))},
    search=lambda cell: {
        "gradient_clip": Choice([None, 0.5, 2.0]),
        "compile_step": Choice([False]),
        "nesterov": Choice([True, False]),
        "initializer": Choice(["he", "orthonormal"]),
        "width": Choice([8, 16]),
        "momentum": Choice([0.5, 0.9]),
    },
    fixed={"depth": 8, "batch_size": 256, "steps": 3, "dataset": "digits"},
    trials_per_cell=4,
    confirm_seeds=1,
    scales={"quick": Scale()},
)
"""


@pytest.mark.slow
def test_a_search_takes_values_of_every_type(elsewhere: Path) -> None:
    """Null, bool, list, text and numbers, as choices and as an axis: to the tables, the page and the text."""
    (elsewhere / "typed.py").write_text(TYPED_FILE)
    assert main(["typed.py"]) == 0
    trials = read_table("typed-quick", "trials")
    assert trials.status.value_counts().to_dict() == {"ok": 10}
    assert trials.gradient_clip.isna().any()
    assert trials.learning_rate_drops.map(len).value_counts().to_dict() == {1: 5, 2: 5}
    assert FAILED.partition(" ({kind}")[0] not in Path("results/typed-quick/report.html").read_text()
