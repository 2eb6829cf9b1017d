"""How a run is carried out, declared once: each field of `Options` makes its option of `python -m study.run`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from study.search.samplers import SearchMethod
from study.store.storage import RESULTS
from study.store.tool_logs import TOOLS, tools_of
from study.terminal import count, duration, option, positive_float, positive_int, share

RAY_STEP = 0.0001  # of a CPU or GPU


@dataclass(frozen=True)
class Options:
    """How a run is carried out; no part of what it asks.

    Attributes:
        fresh: delete what the run has and start anew.
        reuse: a run whose finished trials are taken over where this one would have planned them.
        data_dir: where data sets lie.
        workers: most trials at a time; None: as many as the cluster has room for.
        cpus_per_trial, gpus_per_trial: what a trial asks of Ray; None: where a node has any GPU,
            the share of one that the trial's memory needs, else none.
        method: sampler and early stopping of the cells' searches.
        time_budget_seconds: after it no further trial begins; None: no limit.
        max_failures: how often a trial that raised, or whose worker was lost, begins again.
        address: a running Ray cluster; None: start one here.
        storage: folder or URI that holds runs.
        log: names of TOOLS in which the run can be watched, as a list or with commas.
    """

    fresh: bool = option(False, help="delete what the run has and start anew")
    reuse: str | None = option(
        None, metavar="RUN", help="take over another run's finished trials that lie inside this one"
    )
    data_dir: Path | None = option(
        None, type=Path, metavar="DIR", help="where data sets lie (STUDY_DATA_DIR, or data/)"
    )
    workers: int | None = option(None, type=positive_int, metavar="N", help="most trials at a time (all that fit)")
    cpus_per_trial: float = option(1.0, type=positive_float, metavar="X", help="CPUs of a trial (1)")
    gpus_per_trial: float | None = option(
        None, type=share, metavar="X", help="GPUs of a trial (the share that it needs)"
    )
    method: SearchMethod = field(default_factory=SearchMethod)
    time_budget_seconds: float | None = option(
        None, "--time-budget", type=duration, metavar="2h", help="no trial begins after it"
    )
    max_failures: int = option(1, type=count, metavar="N", help="times a failed trial begins again (1)")
    address: str | None = option(
        None, metavar="ADDR", help="a running Ray cluster, e.g. auto (RAY_ADDRESS; else a new one)"
    )
    storage: str = option(
        RESULTS, metavar="URI", help="folder, or URI that pyarrow opens (s3, gs, abfs, ..), that holds runs (results)"
    )
    log: str | Sequence[str] = option(
        "", metavar="TOOL[,TOOL]", help=f"log the run, as it goes, for {', '.join(TOOLS)}"
    )

    def __post_init__(self) -> None:
        """Refuse what Ray would, once it runs, and a tool that is not there."""
        tools_of(self.log)
        for name in ("cpus_per_trial", "gpus_per_trial"):
            amount = getattr(self, name) or 0.0
            if not math.isclose(amount / RAY_STEP, round(amount / RAY_STEP), abs_tol=1e-6):
                raise ValueError(f"{name} = {amount:g}: Ray divides a CPU or GPU in steps of {RAY_STEP:g}")
