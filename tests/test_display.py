"""What is seen while a run works."""

import dataclasses
import re
from io import StringIO

import pytest
from rich.console import Console

from study.planning.plan import Plan
from study.prepare import PreparedRun
from study.search.cells import CellStudies, Job
from study.search.optuna_trials import finished_trials
from study.store.storage import Storage
from study.tuner.display import Display


@pytest.fixture
def prepared(tiny_plan: Plan, tmp_path) -> PreparedRun:
    return PreparedRun(tiny_plan, Storage.at(tmp_path), CellStudies(tiny_plan), {}, {}, [])


def row_of(job: Job, **columns: object) -> dict[str, object]:
    """What the display needs of a row of `trials`."""
    return {"trial_id": job.trial_id, "cell": job.cell, "phase": job.phase, "status": "ok"} | columns


def show(prepared: PreparedRun, *, terminal: bool) -> str:
    """A whole run's output."""
    out = StringIO()
    display = Display(prepared.plan, Console(file=out, force_terminal=terminal, width=100))
    with display.live(prepared, lambda: 2):
        while not prepared.studies.finished:
            job = prepared.studies.next_job()
            prepared.studies.tell(job.trial_id, {"status": "ok", "val_accuracy": 0.912})
            row = {
                "trial_id": job.trial_id,
                "cell": job.cell,
                "phase": job.phase,
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


def test_a_failed_trial_is_named_with_its_error(prepared: PreparedRun) -> None:
    out = StringIO()
    display = Display(prepared.plan, Console(file=out, width=200))
    job = prepared.studies.next_job()
    with display.live(prepared, lambda: 2):
        display.trial_finished(row_of(job, status="failed", error="Traceback\nValueError: why"))
    assert f"{job.trial_id} failed, the next start runs it again: ValueError: why" in out.getvalue()


def test_time_left_shrinks_with_the_work(prepared: PreparedRun) -> None:
    display = Display(prepared.plan, Console(file=StringIO()))
    left = []
    with display.live(prepared, lambda: 2):
        while not prepared.studies.finished:
            job = prepared.studies.next_job()
            prepared.studies.tell(job.trial_id, {"status": "ok", "val_accuracy": 0.5})
            display.trial_finished(row_of(job, train_seconds=3.0))
            left.append(display._seconds_left())
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0.0


def test_after_a_resume_time_left_stands_on_the_trials_of_before(prepared: PreparedRun) -> None:
    rows = []
    for _ in range(4):
        job = prepared.studies.next_job()
        row = job.config.model_dump() | row_of(job, train_seconds=3.0, val_accuracy=0.5)
        prepared.studies.tell(job.trial_id, row)
        rows.append(row)
    resumed = dataclasses.replace(prepared, finished_trials=finished_trials(rows, []))
    display = Display(prepared.plan, Console(file=StringIO()))
    with display.live(resumed, lambda: 2):
        assert display._seconds_left() == pytest.approx(4 * 3.0 / 2)


def test_a_trial_that_diverged_early_says_nothing_of_the_time_left(prepared: PreparedRun) -> None:
    display = Display(prepared.plan, Console(file=StringIO()))
    with display.live(prepared, lambda: 2):
        job = prepared.studies.next_job()
        prepared.studies.tell(job.trial_id, {"status": "diverged", "val_accuracy": None})
        display.trial_finished(row_of(job, status="diverged", train_seconds=0.1))
        assert display._seconds_left() is None
