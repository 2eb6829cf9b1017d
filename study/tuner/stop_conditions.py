"""Why a run may begin no further trial although some are missing: time is up, all trials fail alike, or a full disk."""

import time
from collections.abc import Mapping
from typing import Any

from study.tuner.listener import Listener

ALIKE = 3  # first trials of a start that must have failed with one and the same error: fewer may be chance


class StopConditions(Listener):
    """Told of each finished trial; asked before the next one begins.

    Args:
        time_budget_seconds: after it no trial begins, and running ones end; None: no limit.
        trial_count: trials that the run has at all.
    """

    def __init__(self, time_budget_seconds: float | None, trial_count: int) -> None:
        self._deadline = None if time_budget_seconds is None else time.monotonic() + time_budget_seconds
        self._enough = min(ALIKE, trial_count)
        self._first: list[str | None] = []
        self.storage_error: OSError | None = None

    def trial_finished(self, row: Mapping[str, Any]) -> None:
        """Remember how the first few trials failed; None for one that did not."""
        if len(self._first) < self._enough:
            lines = (row.get("error") or "unknown error").strip().splitlines()
            self._first.append(lines[-1] if row["status"] == "failed" else None)

    def break_off(self, error: OSError) -> None:
        """What a trial left could not be stored."""
        self.storage_error = self.storage_error or error

    @property
    def common_failure(self) -> str | None:
        """The error that all first trials share."""
        return self._first[0] if len(self._first) == self._enough and len(set(self._first)) == 1 else None

    @property
    def time_is_up(self) -> bool:
        """Whether the time budget is spent."""
        return self._deadline is not None and time.monotonic() > self._deadline

    def is_due(self) -> bool:
        """Whether no further trial may begin."""
        return self.time_is_up or self.common_failure is not None or self.storage_error is not None
