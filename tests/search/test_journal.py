"""The journal: what optuna-dashboard is shown of a run, also while it is going."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import optuna
import pytest
from cell_runs import by_learning_rate, row_of, run_all
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from study.planning.plan import Plan
from study.search.cells import CellStudies
from study.search.journal import Journal, export_journal, is_whole
from study.search.optuna_trials import FinishedTrial
from study.store.storage import JOURNAL, Storage

BEGAN = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


@pytest.fixture
def finished(tiny_plan: Plan) -> list[FinishedTrial]:
    """A whole run, whose k-th trial began k hours after BEGAN and took a minute."""
    trials = []
    for k, planned in enumerate(run_all(CellStudies(tiny_plan), by_learning_rate)):
        began = BEGAN + timedelta(hours=k)
        times = {"started_at": began, "finished_at": began + timedelta(minutes=1)}
        trials.append(FinishedTrial(row_of(planned, *by_learning_rate(planned)) | times, {1: 0.1, 2: 0.2}))
    return trials


def studies_in(folder: Path) -> dict[str, optuna.Study]:
    """What a dashboard reads."""
    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    return {
        summary.study_name: optuna.load_study(study_name=summary.study_name, storage=storage)
        for summary in optuna.get_all_study_summaries(storage)
    }


def test_each_cell_has_a_study_with_its_searches_and_confirmations(
    tiny_plan: Plan, finished: list[FinishedTrial], tmp_path: Path
) -> None:
    export_journal(Storage.at(tmp_path), tiny_plan.objectives, tiny_plan.cells, finished)
    found = studies_in(tmp_path)
    assert set(found) == {cell.name for cell in tiny_plan.cells}
    for study in found.values():
        assert [trial.user_attrs["phase"] for trial in study.trials] == ["search"] * 2 + ["confirm"] * 2
        assert [trial.intermediate_values for trial in study.trials] == [{1: 0.1, 2: 0.2}] * 4


def test_times_are_those_of_the_training(tiny_plan: Plan, finished: list[FinishedTrial], tmp_path: Path) -> None:
    export_journal(Storage.at(tmp_path), tiny_plan.objectives, tiny_plan.cells, finished)
    rows = {trial.row["trial_id"]: trial.row for trial in finished}
    for study in studies_in(tmp_path).values():
        for trial in study.trials:
            row = rows[trial.user_attrs["trial_id"]]
            assert trial.datetime_start.astimezone(UTC) == row["started_at"]
            assert trial.duration == timedelta(minutes=1)


def test_a_trial_that_never_began_is_shown_as_failed(
    tiny_plan: Plan, finished: list[FinishedTrial], tmp_path: Path
) -> None:
    row = finished[0].row | {"status": "out_of_memory", "started_at": None, "finished_at": None}
    export_journal(Storage.at(tmp_path), tiny_plan.objectives, tiny_plan.cells, [FinishedTrial(row, {})])
    (trial,) = studies_in(tmp_path)[row["cell"]].trials
    assert trial.state == optuna.trial.TrialState.FAIL


def test_it_grows_with_each_trial_and_is_then_left_alone(
    tiny_plan: Plan, finished: list[FinishedTrial], tmp_path: Path
) -> None:
    """A dashboard that has it open reads on where it was: nothing that it has read may change."""
    storage, cells = Storage.at(tmp_path), {cell.name: cell for cell in tiny_plan.cells}
    export_journal(storage, tiny_plan.objectives, tiny_plan.cells, finished[:2])
    journal, counts = Journal(tmp_path / JOURNAL, tiny_plan.objectives), []
    for trial in finished[2:]:
        journal.add(cells[trial.row["cell"]], [trial])
        assert is_whole(storage)
        counts.append(sum(len(study.trials) for study in studies_in(tmp_path).values()))
    assert counts == list(range(3, len(finished) + 1))
    before = (tmp_path / JOURNAL).read_bytes()
    export_journal(storage, tiny_plan.objectives, tiny_plan.cells, finished)
    assert (tmp_path / JOURNAL).read_bytes() == before


@pytest.mark.parametrize("content", [b"rubbish", b'{"op_code": 0}\n', b"", None])
def test_a_journal_that_is_damaged_or_lacks_trials_is_written_anew(
    tiny_plan: Plan, finished: list[FinishedTrial], tmp_path: Path, content: bytes | None
) -> None:
    storage = Storage.at(tmp_path)
    if content is None:
        export_journal(storage, tiny_plan.objectives, tiny_plan.cells, finished[1:])
    else:
        storage.write(JOURNAL, content)
    export_journal(storage, tiny_plan.objectives, tiny_plan.cells, finished)
    assert sum(len(study.trials) for study in studies_in(tmp_path).values()) == len(finished)
