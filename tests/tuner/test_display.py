"""What is seen while a run works."""

import dataclasses
import re
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from study.planning.plan import Plan
from study.prepare import PreparedRun
from study.records import read_arrow
from study.search.cell_study import PlannedTrial
from study.search.cells import CellStudies
from study.search.optuna_trials import finished_trials
from study.store.storage import RUN_FILE, Storage
from study.tuner.display import Display
from study.tuner.recorder import Recorder


@pytest.fixture
def prepared(tiny_plan: Plan, tmp_path) -> PreparedRun:
    storage = Storage.at(tmp_path)
    storage.write(RUN_FILE, b"{}")
    return PreparedRun(tiny_plan, storage, CellStudies(tiny_plan), {}, {}, [])


def row_of(planned: PlannedTrial, **columns: object) -> dict[str, object]:
    """What the display needs of a row of `trials`."""
    return {"trial_id": planned.trial_id, "cell": planned.cell, "phase": planned.phase, "status": "ok"} | columns


def show(prepared: PreparedRun, *, terminal: bool) -> str:
    """A whole run's output."""
    out = StringIO()
    display = Display(prepared.plan, Console(file=out, force_terminal=terminal, width=100))
    with display.live(prepared, lambda: 2):
        while not prepared.studies.finished:
            planned = prepared.studies.next_trial()
            prepared.studies.tell(planned.trial_id, {"status": "ok", "val_accuracy": 0.912})
            row = {
                "trial_id": planned.trial_id,
                "cell": planned.cell,
                "phase": planned.phase,
                "status": "ok",
                "val_accuracy": 0.912,
            }
            display.trial_finished(row | {"train_seconds": 1.0})
    return out.getvalue()


def test_off_a_terminal_there_are_few_plain_lines(prepared: PreparedRun) -> None:
    shown = show(prepared, terminal=False)
    assert shown.splitlines()[0] == "0 of 8 trials are done, 2 at a time."
    assert re.match(r"8/8 trials · \d+:\d\d elapsed", shown.splitlines()[-1])
    assert len(shown.splitlines()) == 2
    assert "\x1b" not in shown


def test_on_a_terminal_a_table_shows_the_best_of_each_cell(prepared: PreparedRun) -> None:
    shown = show(prepared, terminal=True)
    assert "0.912" in shown
    assert "4/4" in shown
    assert "isometric" in shown


def done(epoch: int, steps: int, accuracy: float) -> SimpleNamespace:
    return SimpleNamespace(epoch=epoch, steps=steps, val_accuracy=accuracy)


def test_running_trials_show_how_far_they_are(prepared: PreparedRun) -> None:
    out = StringIO()
    display = Display(prepared.plan, Console(file=out, force_terminal=True, width=100))
    first, second = prepared.studies.next_trial(), prepared.studies.next_trial()
    with display.live(prepared, lambda: 2):
        display.epoch_done(first.trial_id, done(epoch=1, steps=2, accuracy=0.3))
        shown = list(display._running_lines())
        display.epoch_done(first.trial_id, done(epoch=2, steps=3, accuracy=0.4))
        prepared.studies.tell(first.trial_id, {"status": "ok", "val_accuracy": 0.4})
        display.trial_finished(row_of(first, val_accuracy=0.4))
        assert len(list(display._running_lines())) == 1
    assert shown == [
        f"{first.cell} search 0: step 2 of 3, validation accuracy 0.300",
        f"{second.cell} {second.phase} {second.number}: no epoch yet",
    ]
    assert "Training has begun" not in out.getvalue()


def test_off_a_terminal_the_first_epoch_is_a_sign_of_life(prepared: PreparedRun) -> None:
    out = StringIO()
    display = Display(prepared.plan, Console(file=out, width=200))
    planned = prepared.studies.next_trial()
    with display.live(prepared, lambda: 2):
        for epoch in (1, 2):
            display.epoch_done(planned.trial_id, done(epoch, epoch, 0.3))
    told = [line for line in out.getvalue().splitlines() if "Training has begun" in line]
    assert told == [f"Training has begun: {planned.cell} search 0: step 1 of 3, validation accuracy 0.300."]


def test_a_failed_trial_is_named_with_its_error(prepared: PreparedRun) -> None:
    out = StringIO()
    display = Display(prepared.plan, Console(file=out, width=200))
    planned = prepared.studies.next_trial()
    with display.live(prepared, lambda: 2):
        display.trial_finished(row_of(planned, status="failed", error="Traceback\nValueError: why"))
    assert f"{planned.trial_id} failed, the next start runs it again: ValueError: why" in out.getvalue()


class Gone(StringIO):
    """A terminal that was closed."""

    def write(self, _text: str) -> int:
        raise OSError("Input/output error")


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # rich's own thread ends, no more
def test_a_terminal_that_is_gone_ends_no_run(prepared: PreparedRun, terminal: bool) -> None:
    display = Display(prepared.plan, Console(file=Gone(), force_terminal=terminal))
    planned = prepared.studies.next_trial()
    with display.live(prepared, lambda: 2):
        display.trial_finished(row_of(planned, status="failed", error="why"))
    display.say("the end")


def test_a_listener_that_raises_ends_no_run(prepared: PreparedRun) -> None:
    told: list[object] = []
    listeners = [SimpleNamespace(trial_finished=listen) for listen in ({}.__getitem__, told.append)]
    data = {"digits": SimpleNamespace(num_classes=10)}
    prepared = dataclasses.replace(prepared, data=data, provenance={"commit": "abc"})
    recorder = Recorder(prepared, listeners, pytest.fail, pytest.fail)
    planned = prepared.studies.next_trial()
    trial = SimpleNamespace(config=planned.ray_config(), num_failures=1, error_file=None)
    recorder.on_trial_start(0, [], trial)
    recorder.on_trial_error(0, [], trial)
    assert read_arrow(prepared.storage, "trials")["status"].to_pylist() == ["failed"]
    assert len(told) == 1
    assert prepared.studies.running == 0


def test_time_left_shrinks_with_the_work(prepared: PreparedRun) -> None:
    display = Display(prepared.plan, Console(file=StringIO()))
    left = []
    with display.live(prepared, lambda: 2):
        while not prepared.studies.finished:
            planned = prepared.studies.next_trial()
            prepared.studies.tell(planned.trial_id, {"status": "ok", "val_accuracy": 0.5})
            display.trial_finished(row_of(planned, train_seconds=3.0))
            left.append(display._seconds_left())
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0.0


def test_after_a_resume_time_left_stands_on_the_trials_of_before(prepared: PreparedRun) -> None:
    rows = []
    for _ in range(4):
        planned = prepared.studies.next_trial()
        row = planned.config.model_dump() | row_of(planned, train_seconds=3.0, val_accuracy=0.5)
        prepared.studies.tell(planned.trial_id, row)
        rows.append(row)
    resumed = dataclasses.replace(prepared, finished_trials=finished_trials(rows, []))
    display = Display(prepared.plan, Console(file=StringIO()))
    with display.live(resumed, lambda: 2):
        assert display._seconds_left() == pytest.approx(4 * 3.0 / 2)


def test_a_trial_that_diverged_early_says_nothing_of_the_time_left(prepared: PreparedRun) -> None:
    display = Display(prepared.plan, Console(file=StringIO()))
    with display.live(prepared, lambda: 2):
        planned = prepared.studies.next_trial()
        prepared.studies.tell(planned.trial_id, {"status": "diverged", "val_accuracy": None})
        display.trial_finished(row_of(planned, status="diverged", train_seconds=0.1))
        assert display._seconds_left() is None
