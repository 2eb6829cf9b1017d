"""What a shipped sweep's own rule makes of a run, in sentences. Reads tables; never Ray or torch."""

from collections.abc import Iterator

from search_spaces.sweep import CellResult
from study.analysis.scores import scored
from study.config import CONFIRM
from study.report.opened_run import OpenedRun
from study.report.part import LINEAR, Part
from study.sweeps import list_sweeps


def conclusions_of(run: OpenedRun, part: Part) -> list[str]:
    """The sentences of the sweep that made the run, over the cells that have as many confirmations as any is to have.

    A user's own file is not run for it, for the run may come from elsewhere; that its sweep is a shipped one is known
    by name and question.
    """
    if run.facts.get("sweep_file") is not None:
        return []
    made = (run.facts.get("declaration", {}).get("sweep"), run.facts.get("question"))
    results = list(_results(run, part))
    shipped = [named.sweep for named in list_sweeps() if (named.name, named.question) == made]
    return [sentence for sweep in shipped if results for sentence in sweep.conclusions(results)]


def headline_of(run: OpenedRun, part: Part) -> str:
    """The answer in plain words: what the sweep's own rule concludes, or the line that any sweep has."""
    return " ".join(conclusions_of(run, part)) or part.headline


def _results(run: OpenedRun, part: Part) -> Iterator[CellResult]:
    rows = scored(part.trials, ["cell", "phase", "trial_id"])
    rows = rows[rows["phase"] == CONFIRM]
    least = min(map(run.confirmations_of, run.facts["compared"]), default=0)  # a rule may have added to some cells'
    for cell, seeds in rows.groupby("cell", sort=False):
        if cell in run.facts["compared"] and len(seeds) >= least:
            known = seeds[seeds["score"].notna()]  # without those that failed, as the sweep itself is told
            numbers = known["trial_id"].str.rpartition(":")[2].astype(int)
            accuracies = dict(zip(numbers.tolist(), known["score"].tolist(), strict=True))
            baseline = run.baselines_of(run.proxies[str(cell)]).get(LINEAR, {})
            yield CellResult(run.facts["compared"][cell], accuracies, baseline.get("validation_accuracy", 0.0))
