"""A run's tables in other tools' formats: CSV, Optuna's journal, the logs of TOOLS. Never Ray or torch.

Everything is written to `RUN/export/`, for the formats are copies: the Parquet tables stay what counts.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from study.config import refuse_unknown
from study.records import read_arrow
from study.report.opened_run import OpenedRun
from study.search.journal import is_whole
from study.store.logged_run import EPOCH_MEASURES, FINAL_MEASURES, LoggedRun, hyperparameters, measures
from study.store.schemas import SCHEMAS, Row
from study.store.storage import JOURNAL
from study.store.tool_logs import TOOLS, ToolLog, check_installed, refused_in_one_line
from study.terminal import plural


def export_run(run: OpenedRun, kind: str) -> str:
    """Write one of EXPORTS; returns a line that says what lies where.

    Raises:
        ValueError: unknown kind, or what its tool says against it.
    """
    refuse_unknown("export", kind, EXPORTS)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / kind
        folder.mkdir()
        count = EXPORTS[kind](run, folder)
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        if not files:  # a server has it all
            return count
        target = run.storage.sub(f"export/{kind}")
        target.delete_folder()
        for file in files:
            target.write(file.relative_to(folder).as_posix(), file.read_bytes())
    return f"{count}: {target.location}"


def _csv(run: OpenedRun, folder: Path) -> str:
    """One file a table; lists in JSON's form."""
    for name in SCHEMAS:
        frame = read_arrow(run.storage, name).to_pandas()
        for column in ("learning_rate_drops",) if name == "trials" else ():
            frame[column] = frame[column].map(lambda value: value if value is None else json.dumps(list(value)))
        frame.to_csv(folder / f"{name}.csv", index=False)
    return f"{plural(len(SCHEMAS), 'table')} as CSV"


def _journal(run: OpenedRun, folder: Path) -> str:
    """The run's own copy of its studies, one a cell under the cell's name: what optuna-dashboard opens."""
    if not run.storage.exists(JOURNAL):
        raise ValueError(f"run {run.name} has no {JOURNAL}: it is written when the run ends, or is run again")
    if not is_whole(run.storage):
        raise ValueError(f"{JOURNAL} of run {run.name} is damaged: the run's own command writes it anew")
    (folder / JOURNAL).write_bytes(run.storage.read(JOURNAL))
    return f"{plural(len(run.facts['compared']), 'cell')} for optuna-dashboard"


def _logged(tool: str, run: OpenedRun, folder: Path) -> str:
    """Every trial with its epochs, in the tool's own form, as a going run is logged."""
    check_installed(tool)
    epochs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for epoch in read_arrow(run.storage, "epochs").sort_by("epoch").to_pylist():
        epochs[epoch["trial_id"]].append(epoch)
    trials = read_arrow(run.storage, "trials").to_pylist()
    with refused_in_one_line(tool):
        log = TOOLS[tool](LoggedRun(run.name, run.facts.get("created_at")), folder)
        for row in trials:
            _log_trial(log, row, epochs[row["trial_id"]], run)
        log.wait()
    return f"{plural(len(trials), 'trial')} for {tool}"


def _log_trial(log: ToolLog, row: Row, epochs: list[dict[str, Any]], run: OpenedRun) -> None:
    trial_id, cell = row["trial_id"], row["cell"]
    fields = (*run.facts["compared"].get(cell, ()), *run.spaces.get(cell, ()))
    log.begin_trial(trial_id, hyperparameters(row, fields))
    for epoch in epochs:
        log.log_epoch(trial_id, epoch["epoch"], measures(epoch, EPOCH_MEASURES))
    log.end_trial(trial_id, row["status"], measures(row, FINAL_MEASURES))


EXPORTS: dict[str, Callable[[OpenedRun, Path], str]] = {
    "csv": _csv,
    "journal": _journal,
    **{tool: partial(_logged, tool) for tool in TOOLS},
}
