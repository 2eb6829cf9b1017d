"""Keeps a run's page up to date while the run goes on, and lets the browser load it again by itself."""

import time
from collections.abc import Callable, Iterator

from study.report.opened_run import OpenedRun, open_run
from study.report.page import write_report
from study.store.storage import Storage

LOOK_SECONDS = 10.0
PAUSE_SHARE = 4.0  # pauses are so many times as long as the writing took, which runs beside the training


def watch(run: OpenedRun, folder: Storage, sleep: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """Write the page whenever trials have finished, until none is missing; a line after each time.

    Args:
        run: as it was found.
        folder: where the page goes.
        sleep: waits so many seconds.
    """
    shown = None
    while True:
        pause = LOOK_SECONDS
        if len(run.trials) != shown:
            shown, began = len(run.trials), time.monotonic()
            place = write_report(run.storage, None, folder, reload_seconds=None if run.finished else LOOK_SECONDS)
            pause = max(pause, PAUSE_SHARE * (time.monotonic() - began))
            done, planned = run.progress
            yield f"{done} of {planned} trials: {place}"
        if run.finished:
            return
        sleep(pause)
        run = open_run(run.storage.location)
