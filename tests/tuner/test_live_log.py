"""Logs of other tools, of a run that is going and of a finished one."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bad_input import check_refused
from logged import Logged, _mlflow, read_log

from study import run as study_run
from study.launch import run_sweep
from study.planning.plan import Plan
from study.prepare import PreparedRun
from study.records import read_arrow
from study.report.__main__ import main as report
from study.search.cell_study import PlannedTrial
from study.search.cells import CellStudies
from study.store import tool_logs
from study.store.logged_run import LoggedRun
from study.store.storage import Storage
from study.store.tool_logs import TOOLS, MlflowLog, check_place, folder_beside, tools_of
from study.sweeps import NamedSweep
from study.training.epoch_record import EpochRecord
from study.tuner.live_log import LiveLog

pytest.importorskip("mlflow")
wandb = pytest.importorskip("wandb")
EACH_TOOL = pytest.mark.parametrize("tool", TOOLS)


@pytest.fixture(scope="module", autouse=True)
def no_service_left() -> Iterator[None]:
    """The process that wandb starts ends with the tests."""
    yield
    wandb.teardown()


@pytest.fixture(autouse=True)
def on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As MLflow makes it, which takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    MlflowLog(LoggedRun("other"), folder)
    return folder / MlflowLog.DATABASE


@pytest.fixture
def prepared(tiny_plan: Plan, tmp_path: Path, empty_database: Path) -> PreparedRun:
    storage = Storage.at(tmp_path / "run")
    storage.write("run.json", b"{}")
    storage.write("mlruns/mlflow.db", empty_database.read_bytes())
    return PreparedRun(tiny_plan, storage, CellStudies(tiny_plan), {}, {}, [], created_at="2026-01-01T00:00:00")


def record(epoch: int, train_loss: float | None = 0.5) -> EpochRecord:
    measured = {"learning_rate": 0.1, "train_loss": train_loss, "train_accuracy": 0.75, "val_loss": 0.25}
    looked = {"val_accuracy": 0.5, "orthonormality_defect": None, "modulated_fraction": 0.0, "error_norm_ratio": 2.0}
    cost = {"seconds": 1.0, "images_per_second": 9.0, "parameters": 7}
    return EpochRecord(epoch=epoch, steps=3 * epoch, status="ok", **measured, **looked, **cost)


def finished(planned: PlannedTrial, status: str = "ok", **columns: object) -> dict[str, object]:
    which = {"trial_id": planned.trial_id, "cell": planned.cell, "phase": planned.phase, "status": status}
    return planned.config.model_dump() | {"recipe": planned.compared["recipe"]} | which | columns


def logged_of(storage: Storage, tool: str) -> dict[str, Logged]:
    """What lies in the run's folder, once wandb's process has written it all."""
    wandb.teardown()
    return read_log(tool, folder_beside(tool, storage))


@EACH_TOOL
def test_a_trial_is_seen_while_it_runs_and_whole_at_its_end(
    tool: str, prepared: PreparedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_logs, "FLUSH_SECONDS", 0.1)
    log, planned = LiveLog(tool, prepared, pytest.fail), prepared.studies.next_trial()
    for epoch in (1, 2):
        log.epoch_done(planned.trial_id, record(epoch, train_loss=1 / epoch))
    folder, points = folder_beside(tool, prepared.storage), [(1, 1.0), (2, 0.5)]
    check_soon(lambda: points_of(planned.trial_id, read_log(tool, folder)) == points)
    log.trial_finished(finished(planned, val_accuracy=0.5, best_val_accuracy=0.75, epochs_completed=2))

    ((trial_id, logged),) = logged_of(prepared.storage, tool).items()
    assert trial_id == planned.trial_id
    assert logged.epochs["error_norm_ratio"] == [(1, 2.0), (2, 2.0)]
    assert "orthonormality_defect" not in logged.points  # was not measured
    assert len(logged.epochs) == 8
    assert logged.final == {"final/val_accuracy": 0.5, "final/best_val_accuracy": 0.75, "final/epochs_completed": 2}
    assert logged.status == "ok"
    known = {"cell": planned.cell, "phase": "search", "depth": "8", "recipe": planned.compared["recipe"]}
    assert known.items() <= logged.known.items()
    assert float(logged.known["seed"]) == pytest.approx(planned.config.seed, rel=1e-5)
    assert float(logged.known["learning_rate"]) == pytest.approx(planned.config.learning_rate, rel=1e-5)
    assert logged.known.keys() - known.keys() - {"seed", "learning_rate"} <= {"modulation_band"}


def points_of(trial_id: str, logged: dict[str, Logged]) -> list[tuple[int, float]]:
    return logged[trial_id].points["train_loss"] if trial_id in logged else []


def check_soon(right: Callable[[], bool]) -> None:
    """It is right within a minute: wandb writes its files out four times a minute."""
    end = time.monotonic() + 60.0
    while not right():
        assert time.monotonic() < end
        time.sleep(0.2)


@EACH_TOOL
@pytest.mark.parametrize("new_driver", [False, True])
def test_a_trial_that_begins_again_leaves_no_point_twice(tool: str, new_driver: bool, prepared: PreparedRun) -> None:
    """After a failure, or in a later start of the run."""
    log, planned = LiveLog(tool, prepared, pytest.fail), prepared.studies.next_trial()
    for epoch in (1, 2):
        log.epoch_done(planned.trial_id, record(epoch, train_loss=8.0))
    if new_driver:
        log.run_ended()
        assert logged_of(prepared.storage, tool)[planned.trial_id].status == "interrupted"
        log = LiveLog(tool, prepared, pytest.fail)
    for epoch in (1, 2, 3):
        log.epoch_done(planned.trial_id, record(epoch, train_loss=0.5))
    log.trial_finished(finished(planned))
    logged = logged_of(prepared.storage, tool)
    assert list(logged) == [planned.trial_id]
    assert logged[planned.trial_id].points["train_loss"] == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert logged[planned.trial_id].status == "ok"


@EACH_TOOL
def test_trials_beside_each_other_are_kept_apart_and_one_that_never_began_is_there(
    tool: str, prepared: PreparedRun
) -> None:
    log = LiveLog(tool, prepared, pytest.fail)
    one, other, lost = (prepared.studies.next_trial() for _ in range(3))
    for epoch in (1, 2):
        log.epoch_done(one.trial_id, record(epoch, train_loss=1.0))
        log.epoch_done(other.trial_id, record(epoch, train_loss=None))
    for planned, status in ((one, "ok"), (other, "diverged"), (lost, "failed")):
        log.trial_finished(finished(planned, status))
    logged = logged_of(prepared.storage, tool)
    assert {name: trial.status for name, trial in logged.items()} == {
        one.trial_id: "ok",
        other.trial_id: "diverged",
        lost.trial_id: "failed",
    }
    assert logged[one.trial_id].points["train_loss"] == [(1, 1.0), (2, 1.0)]
    assert "train_loss" not in logged[other.trial_id].points
    assert logged[lost.trial_id].known["cell"] == lost.cell


def test_a_log_that_fails_is_told_once_and_not_tried_again(prepared: PreparedRun) -> None:
    said: list[str] = []
    log, planned = LiveLog("tensorboard", prepared, said.append), prepared.studies.next_trial()
    prepared.storage.write("tensorboard", b"in the way")
    for epoch in (1, 2):
        log.epoch_done(planned.trial_id, record(epoch))
    log.trial_finished(finished(planned))
    log.run_ended()
    assert len(said) == 1
    assert said[0].startswith("tensorboard gets no more of this run, which goes on: [Errno")
    assert said[0].endswith("--export tensorboard")


def test_the_users_environment_leads_mlflow_elsewhere(
    prepared: PreparedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared.storage.rename("mlruns/mlflow.db", "server.db")
    prepared.storage.sub("mlruns").delete_folder()
    uri = f"sqlite:///{prepared.storage.root}/server.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    log, planned = LiveLog("mlflow", prepared, pytest.fail), prepared.studies.next_trial()
    log.epoch_done(planned.trial_id, record(1))
    assert list(_mlflow(tmp_path, uri)) == [planned.trial_id]
    assert not prepared.storage.exists("mlruns")


@pytest.mark.parametrize("chosen", ["wandb,mlflow", ["wandb", "mlflow"], ("wandb", "mlflow", "wandb")])
def test_tools_are_named_in_a_list_or_with_commas(chosen: str | list[str]) -> None:
    assert tools_of(chosen) == ["wandb", "mlflow"]
    assert tools_of("") == []


def test_an_unknown_tool_and_one_that_is_not_installed_are_refused_before_anything_starts(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = "unknown log 'tensorbord': known are tensorboard, mlflow, wandb; did you mean tensorboard?"
    check_refused(study_run.main, ["depth_sweep", "--log", "mlflow,tensorbord"], wanted, capfd)
    monkeypatch.setitem(tool_logs.INSTALLED_BY, "wandb", "no-such-package")
    missing = "wandb is not installed: pip install no-such-package"
    check_refused(study_run.main, ["depth_sweep", "--log", "wandb"], missing, capfd)
    with pytest.raises(ValueError, match=missing):
        run_sweep("depth_sweep", log=["wandb"])
    assert not (elsewhere / "results").exists()


@EACH_TOOL
def test_a_store_takes_a_log_only_where_a_server_keeps_it(
    tool: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["depth_sweep", "--storage", "fsspec+memory://studies", "--log", tool]
    wanted = "python -m study.report fsspec+memory://studies/depth_sweep-quick --export"
    check_refused(study_run.main, command, wanted, capfd)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking")
    monkeypatch.setenv("WANDB_MODE", "online")
    if tool != "tensorboard":
        check_place([tool], Storage.at("fsspec+memory://studies/run"))


@pytest.mark.usefixtures("ray_session")
def test_a_going_run_is_logged_as_its_tables_are_exported(
    elsewhere: Path, tiny_sweep: NamedSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = run_sweep(tiny_sweep, log=list(TOOLS), trials_per_cell=1, confirm_seeds=1, set={"steps": 30})
    rows = read_arrow(storage, "trials").to_pylist()
    assert len(rows) == 4
    for tool in TOOLS:
        live = logged_of(storage, tool)
        assert report([storage.location, "--export", tool]) == 0
        assert f"4 trials for {tool}: {storage.location}/export/{tool}" in capsys.readouterr().out
        assert read_log(tool, Path(storage.root) / "export" / tool) == live
        assert live.keys() == {row["trial_id"] for row in rows}
        for row in rows:
            assert live[row["trial_id"]].final["final/val_accuracy"] == pytest.approx(row["val_accuracy"])
            assert len(live[row["trial_id"]].points["train_loss"]) == row["epochs_completed"]
    assert not (elsewhere / "mlruns").exists()
