"""What a run takes over from another one: finished trials that it would have planned itself. Knows nothing of Ray."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa
from optuna.trial import create_trial

from study.config import CONFIRM, SEARCH
from study.planning.cell import PlannedCell
from study.planning.plan import Plan
from study.records import TableWriter, read_arrow
from study.search.cell_study import trial_id_of
from study.search.optuna_trials import number_of, outcome
from study.store.provenance import provenance
from study.store.schemas import Row
from study.store.storage import Storage

RESULTS_OF_THE_METHOD = ("ok", "diverged")  # a pruned trial belongs to its run's early stopping


def check_source(name: str, content: Mapping[str, Any], plan: Plan, data: Mapping[str, Any]) -> None:
    """Refuse a run whose trials mean something else although they are told the same.

    Args:
        name: of the other run.
        content: its run.json.
        plan: of this run.
        data: fingerprints of this run's data sets.

    Raises:
        ValueError: it was made on other data, or does not say on which, or with other code of the sweep's own parts.
    """
    for dataset, fingerprint in data.items():
        if content.get("data", {}).get(dataset) != fingerprint:
            raise ValueError(f"--reuse {name}: it was made on other {dataset} data, or does not say on which")
    parts = plan.declaration().get("parts")
    if parts is not None and content["declaration"].get("parts") != parts:
        raise ValueError(f"--reuse {name}: its sweep's own parts are other code, or others")


def take_over(source: Storage, target: Storage, plan: Plan) -> dict[str, str]:
    """Copy what `plan` may reuse from one run's tables into another's.

    Returns:
        Their ids there to their ids here.
    """
    there, here = (read_arrow(run, "trials").to_pylist() for run in (source, target))
    taken = list(reusable(there, plan, {row["trial_id"] for row in here}))
    ids = {old["trial_id"]: new["trial_id"] for old, new in taken}
    of_trial = {name: _by_trial(source, name, ids) for name in ("layers", "epochs")}
    written = provenance()
    writers = {name: TableWriter(target, name, written) for name in ("layers", "epochs", "trials")}
    for old, new in taken:
        for name, rows in of_trial.items():
            if rows[old["trial_id"]]:
                writers[name].append({**row, "trial_id": new["trial_id"]} for row in rows[old["trial_id"]])
        writers["trials"].append([new])
    return ids


def reusable(rows: Collection[Row], plan: Plan, known: Collection[str] = ()) -> Iterator[tuple[Row, Row]]:
    """Pairs of a row of another run and the row that it is here.

    A search trial is taken where fields, seed and number are those that this run would give it, and its searched values
    lie in the cell's box. Confirmations are, where all of the cell's search trials were and the point is their best.

    Args:
        rows: `trials` of the other run.
        plan: of this one.
        known: ids of the trials that this run has.
    """
    finished = [row for row in rows if row["status"] in RESULTS_OF_THE_METHOD]
    for cell in plan.cells:
        searched = _fitting(finished, plan, cell, SEARCH)
        yield from _renamed(searched, plan, cell, known)
        if len(searched) == plan.trials_of(cell):
            best = _best_point(searched.values(), plan, cell)
            confirmed = _fitting(finished, plan, cell, CONFIRM)
            same = {number: row for number, row in confirmed.items() if _point(row, cell) == best}
            yield from _renamed(same, plan, cell, known)


def _fitting(rows: Collection[Row], plan: Plan, cell: PlannedCell, phase: str) -> dict[int, Row]:
    """Number to row of the trials of a phase that this cell would have."""
    seeds, count = {
        SEARCH: (plan.search_seed, plan.trials_of(cell)),
        CONFIRM: (plan.confirm_seed, plan.confirmations_of(cell)),
    }[phase]
    found = {}
    for row in rows:
        number = number_of(row["trial_id"])
        planned = row["phase"] == phase and number < count and row["seed"] == seeds(number)
        if planned and _is_of(row, cell, phase) and (phase == CONFIRM or _may_be_drawn(row, cell, number)):
            found[number] = row
    return found


def _is_of(row: Row, cell: PlannedCell, phase: str) -> bool:
    """Whether a trial of this cell, at the row's point, would be told the same; what is quickly told comes first."""
    fixed = {**cell.fixed, **(cell.search_fixed if phase == SEARCH else {})}
    if any(row[name] != value for name, value in fixed.items() if isinstance(value, str | int)):
        return False
    try:
        create_trial(value=0.0, params=_point(row, cell), distributions=cell.search)
    except ValueError:  # outside the cell's box
        return False
    return bool(cell.config(_point(row, cell), row["seed"], phase).config_hash == row["config_hash"])


def _may_be_drawn(row: Row, cell: PlannedCell, number: int) -> bool:
    """The first search trial of a cell is its recipe's own point."""
    return number > 0 or _point(row, cell) == cell.default_point


def _point(row: Row, cell: PlannedCell) -> dict[str, Any]:
    return {name: row[name] for name in cell.search}


def _best_point(searched: Collection[Row], plan: Plan, cell: PlannedCell) -> dict[str, Any]:
    """The point that the cell confirms, as `CellStudy` chooses it."""
    if not searched:
        return cell.default_point
    scored = [(outcome(row, plan.objectives)[1] or [-1.0], -number_of(row["trial_id"]), row) for row in searched]
    return _point(max(scored, key=lambda one: (one[0][0], one[1]))[2], cell)


def _renamed(
    found: Mapping[int, Row], plan: Plan, cell: PlannedCell, known: Collection[str]
) -> Iterator[tuple[Row, Row]]:
    for number, row in found.items():
        trial_id = trial_id_of(plan.run, cell.name, row["phase"], number)
        if trial_id not in known:
            names = {"run": plan.run, "sweep": plan.sweep, "cell": cell.name, "recipe": cell.compared.get("recipe")}
            yield row, {**row, **names, "trial_id": trial_id}


def _by_trial(run: Storage, table: str, trial_ids: Collection[str]) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in read_arrow(run, table, trial_ids=pa.array(trial_ids, pa.string())).to_pylist():
        rows[row["trial_id"]].append(row)
    return rows
