"""What is seen while a run works: one live table on a terminal, sparing plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.planning.cell import PlannedCell
from study.planning.plan import Plan
from study.prepare import PreparedRun
from study.search.cells import CellStudies
from study.tuner.listener import Listener

if TYPE_CHECKING:  # imports torch, which the command line does without until its input is sound
    from study.training.epoch_record import EpochRecord

REFRESHES_A_SECOND = 2
PLAIN_LINE_SECONDS = 30.0  # off a terminal: a line at most this often
MAX_SHOWN = 8  # running trials in the live display: more would push the table off the screen


class Display(Listener):
    """Shows a run's progress.

    Args:
        plan: the run.
        console: where to; a rich console decides by itself whether it is a terminal.
    """

    def __init__(self, plan: Plan, console: Console | None = None) -> None:
        self._plan, self.console = plan, console or Console(highlight=False)
        self._progress: dict[str, CellProgress] = {}
        self._started, self._last_line = time.monotonic(), time.monotonic()
        self._cost_done = self._seconds_done = 0.0
        self._studies: CellStudies | None = None
        self._epochs: dict[str, EpochRecord] = {}  # the last one of each running trial
        self._slots: Callable[[], int] = lambda: 1
        self._live: Live | None = None

    def say(self, text: str) -> None:
        """A line that stays; lost where the terminal is gone or cannot show it, which ends no run."""
        with suppress(OSError, ValueError):  # UnicodeError and writing to what is closed are ValueErrors
            self.console.print(text, markup=False, soft_wrap=True)  # a location is copied whole

    @contextmanager
    def live(self, prepared: PreparedRun, slots: Callable[[], int]) -> Iterator[None]:
        """Show progress while the block runs."""
        self._studies, self._slots, self._started = prepared.studies, slots, time.monotonic()
        for trial in prepared.finished_trials:
            if trial.row["cell"] in prepared.studies.planned:  # an adaptive sweep may come to a cell of old only later
                self._take_in(trial.row)
        self.say(f"{self._done} of {self._trial_count} trials are done, {slots()} at a time.")
        if not self.console.is_terminal:
            yield
            return
        self._live = Live(
            console=self.console,
            get_renderable=self._render,
            refresh_per_second=REFRESHES_A_SECOND,
            transient=True,
        )
        try:
            with suppress(OSError, ValueError):
                self._live.start()
            yield
        finally:
            with suppress(OSError, ValueError):  # the terminal is gone
                self._live.stop()

    def epoch_done(self, trial_id: str, record: "EpochRecord") -> None:
        """Remember it; off a terminal the first one of all is told of, as a sign of life."""
        if self._live is None and not (self._epochs or self._done):
            self.say(f"Training has begun: {self._running_line(trial_id, record)}.")
        self._epochs[trial_id] = record

    def trial_finished(self, row: Mapping[str, Any]) -> None:
        """Take a new row in; off a terminal say so now and then."""
        self._take_in(row)
        self._epochs.pop(row["trial_id"], None)
        if row["status"] == "failed":
            reason = (row.get("error") or "unknown").splitlines()[-1]
            self.say(f"{row['trial_id']} failed, the next start runs it again: {reason}")
        quiet_for = time.monotonic() - self._last_line
        if self._live is None and (quiet_for > PLAIN_LINE_SECONDS or self._done == self._trial_count):
            self._last_line = time.monotonic()
            self.say(self._status_line())

    def _take_in(self, row: Mapping[str, Any]) -> None:
        """A finished trial, of this start or an earlier one. One that ended early does not tell how long one takes."""
        progress = self._progress_of(row["cell"])
        progress.add(row)
        if row["status"] == "ok" and row.get("train_seconds"):
            self._cost_done += progress.cell.cost[row["phase"]]
            self._seconds_done += row["train_seconds"]

    def _progress_of(self, cell: str) -> "CellProgress":
        assert self._studies is not None  # rows come while the display is live
        return self._progress.setdefault(cell, CellProgress(self._studies.planned[cell]))

    @property
    def _trial_count(self) -> int:
        return self._studies.trial_count if self._studies else self._plan.trial_count

    @property
    def _done(self) -> int:
        return sum(progress.done for progress in self._progress.values())

    def _status_line(self) -> str:
        elapsed = _clock(time.monotonic() - self._started)
        parts = [f"{self._done}/{self._trial_count} trials", f"{elapsed} elapsed"]
        left = self._seconds_left()
        if left is not None:
            parts.append(f"about {_clock(left)} left")
        return " · ".join(parts)

    @property
    def _running(self) -> int:
        return self._studies.running if self._studies else 0

    def _seconds_left(self) -> float | None:
        """From the seconds that finished trials took for their cost; None before the first.

        A running trial counts as half done.
        """
        if not self._cost_done or self._studies is None:
            return None
        running = sum(
            self._progress_of(planned.cell).cell.cost[planned.phase] / 2 for planned in self._studies.running_trials
        )
        work = (self._studies.remaining_cost + running) * self._seconds_done / self._cost_done
        return work / max(1, self._slots())

    def _render(self) -> RenderableType:
        bar = Table.grid(expand=True)  # a bare bar does not end its line
        bar.add_row(ProgressBar(total=self._trial_count, completed=self._done))
        note = Text("best validation accuracy of each cell, trials finished/planned", style="dim")
        status = f"{self._status_line()} · {self._running} running"
        return Group(Text(status), bar, *map(Text, self._running_lines()), self._table(), note)

    def _running_lines(self) -> Iterator[str]:
        """How far each running trial is, those that began first before the others."""
        running = [(trial_id, self._epochs.get(trial_id)) for trial_id in self._running_ids()]
        for trial_id, record in running[:MAX_SHOWN]:
            yield self._running_line(trial_id, record)
        if len(running) > MAX_SHOWN:
            yield f"and {len(running) - MAX_SHOWN} more"

    def _running_ids(self) -> list[str]:
        return [planned.trial_id for planned in self._studies.running_trials] if self._studies else []

    def _running_line(self, trial_id: str, record: "EpochRecord | None") -> str:
        """`depth=8,recipe=isometric search 3: step 132 of 300, validation accuracy 0.912`."""
        assert self._studies is not None  # trials run while the display is live
        planned = self._studies.trial(trial_id)
        name = f"{planned.cell} {planned.phase} {planned.number}"
        if record is None:
            return f"{name}: no epoch yet"
        steps, epochs = planned.config.steps, planned.config.epochs
        done = f"step {record.steps} of {steps}" if steps else f"epoch {record.epoch} of {epochs}"
        return f"{name}: {done}, validation accuracy {record.val_accuracy:.3f}"

    def _table(self) -> Table:
        """The last compared name makes the columns, the others the rows."""
        cells = list(self._studies.planned.values()) if self._studies else []
        *row_names, column_name = self._plan.cells[0].compared or {"cell": "all"}
        table = Table(box=None, pad_edge=False)
        columns = dict.fromkeys(_value(cell, column_name) for cell in cells)
        for heading in (" ".join(row_names), *columns):
            table.add_column(heading, overflow="fold")
        rows = dict.fromkeys(tuple(_value(cell, name) for name in row_names) for cell in cells)
        entries = {
            (tuple(_value(cell, name) for name in row_names), _value(cell, column_name)): self._text(cell)
            for cell in cells
        }
        for row in rows:
            table.add_row(" ".join(row), *(entries.get((row, column), "") for column in columns))
        return table

    def _text(self, cell: PlannedCell) -> str:
        """How far the cell is; an adaptive sweep may have added to its runs."""
        return self._progress_of(cell.name).text(self._plan.runs_of(cell))


class CellProgress:
    """Progress of one cell."""

    def __init__(self, cell: PlannedCell) -> None:
        self.cell = cell
        self.done = 0
        self._best: float | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in a row of `trials`."""
        self.done += 1
        accuracy = row.get("val_accuracy")
        if accuracy is not None:
            self._best = max(accuracy, self._best or 0.0)

    def text(self, runs: int) -> str:
        """`.981 3/5`: the best accuracy so far, finished of all runs."""
        best = "  - " if self._best is None else f"{self._best:.3f}"
        return f"{best} {self.done}/{runs}"


def _value(cell: PlannedCell, name: str) -> str:
    return str(cell.compared.get(name, "all"))


def _clock(seconds: float) -> str:
    """`1:02:03`, or `2:03` below an hour."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
