"""What to distrust in a run: few seeds, edges of boxes, pruned or failed trials, mixed commits. Tables to words."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from study.analysis.images import ENOUGH_IMAGES, image_error, images_behind
from study.analysis.scores import FAULTS, VERDICT_FROM
from study.analysis.tuning import box_edges
from study.config import CONFIRM, SEARCH
from study.planning.settings import acting
from study.report.opened_run import OpenedRun
from study.report.part import LINEAR, Part
from study.terminal import plural

FEW_TRIALS = 8  # Fewer search trials a cell leave a recipe's score to where its known point happens to lie.
NEARLY_LINEAR = 0.6  # From about this activation slope on, a deep net is nearly a linear model.


def caveats_of(run: OpenedRun, part: Part) -> list[str]:
    """One sentence each, the gravest first; empty when there is nothing to say."""
    finders = (
        _missing(run),
        _declared(run),
        _seeds(part.curve),
        _images(part),
        _failures(part.trials),
        _search(run, part),
        _outdone(run, part),
        _identical(part.trials),
        _proxies(run, part),
        _baseline(part),
    )
    return [*(sentence for finder in finders for sentence in finder), *_provenance(part.trials)]


def _missing(run: OpenedRun) -> Iterator[str]:
    done, planned = run.progress
    if not run.finished:
        yield f"The run is not finished: {done} of {planned} trials. Every number here may still move."


def _declared(run: OpenedRun) -> Iterator[str]:
    """What the sweep itself says that a run of this size cannot show."""
    if caveat := run.facts.get("caveat"):
        yield caveat


def _seeds(curve: pd.DataFrame) -> Iterator[str]:
    if len(curve) and curve["seeds"].min() < VERDICT_FROM:
        few = plural(int(curve["seeds"].min()), "confirmed seed")
        yield (
            f"{few} in some cells: fewer than {VERDICT_FROM} allow no verdict between recipes, and their intervals "
            f"lean on the normal distribution. The run's command with --confirm-seeds {VERDICT_FROM} adds the rest."
        )


def _images(part: Part) -> Iterator[str]:
    """What no number of seeds can mend."""
    curve = part.curve
    images = images_behind([part.dataset], "val_accuracy")
    if len(curve) and images < ENOUGH_IMAGES:
        best = curve["mean"].max()
        yield (
            f"Validation accuracies are on {images:.0f} images, which all seeds share: for these alone {best:.3f} is "
            f"known to \N{PLUS-MINUS SIGN}{image_error([best], images):.3f}. Below {ENOUGH_IMAGES:,} nothing is called "
            "level."
        )


def _failures(trials: pd.DataFrame) -> Iterator[str]:
    counts = trials["status"].value_counts()
    broken = {status: int(counts[status]) for status in ("diverged", *FAULTS, "pruned") if counts.get(status, 0)}
    if broken:
        listed = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in broken.items())
        whole = plural(len(trials), "trial")
        yield f"Of {whole}: {listed}. Confirmed ones that diverged count as chance, the others nowhere."


def _search(run: OpenedRun, part: Part) -> Iterator[str]:
    searched = part.trials[part.trials["phase"] == SEARCH].groupby("cell").size()
    if len(searched) and searched.min() < FEW_TRIALS:
        few = plural(int(searched.min()), "search trial")
        yield (
            f"{few} in some cells, of which the first is the recipe's own point: another search could find other "
            "settings. The intervals are over seeds and do not include that."
        )
    yield from _phases(run, part)
    edges = box_edges(part.trials, run.spaces)
    if len(edges):
        fields = ", ".join(f"{field} ({count})" for field, count in edges["field"].value_counts().items())
        cells = plural(edges["cell"].nunique(), "cell")
        yield f"The best point lies on the edge of its box in {cells}: {fields}. See the page's Edges of boxes."


def _phases(run: OpenedRun, part: Part) -> Iterator[str]:
    """What search trials had otherwise than confirmations."""
    cells = set(part.trials["cell"])
    phases = (sides for cell, sides in run.search_fixed.items() if cell in cells)
    told = Counter(tuple(map(_listed, sides)) for sides in phases)
    for (searched, confirmed), count in told.items():
        where = "" if count == len(cells) else f" in {plural(count, 'cell')}"
        yield (
            f"Search trials ran with {searched}, confirmations with {confirmed}{where}: their accuracies and seconds "
            "are not comparable, and the best settings may differ."
        )


def _listed(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in acting(fields).items())


def _outdone(run: OpenedRun, part: Part) -> Iterator[str]:
    """A confirmed cell keeps its point, also when its search is extended later and finds a better one."""
    outdone = sum(_is_outdone(rows, list(run.spaces.get(str(cell), {}))) for cell, rows in part.trials.groupby("cell"))
    if outdone:
        yield (
            f"In {plural(outdone, 'cell')} the search, extended later, has found a better point than the confirmed "
            "one, which stays the cell's. A run of another name (--run) would confirm the new one."
        )


def _is_outdone(rows: pd.DataFrame, searched: list[str]) -> bool:
    """Whether a search trial of the cell beats all those at the confirmed point."""
    confirmed = rows[rows["phase"] == CONFIRM]
    trials = rows[(rows["phase"] == SEARCH) & (rows["status"] == "ok")]
    if not searched or confirmed.empty or trials.empty:
        return False
    there = trials[(trials[searched] == confirmed[searched].iloc[0]).all(axis=1)]
    return bool(there.empty or there["val_accuracy"].max() < trials["val_accuracy"].max())


def _identical(trials: pd.DataFrame) -> Iterator[str]:
    """Cells whose confirmations ended alike to the last digit: what was compared between them does not act."""
    confirmed = trials[(trials["phase"] == CONFIRM) & trials["val_loss"].notna()].sort_values("seed")
    alike: dict[bytes, list[str]] = defaultdict(list)
    for cell, rows in confirmed.groupby("cell")[["seed", "train_loss", "val_loss"]]:
        alike[rows.to_numpy(np.float64).tobytes()].append(str(cell))
    for cells in alike.values():
        if len(cells) > 1:
            yield f"Identical records in {'; '.join(cells)}: what differs between these cells does not act."


def _proxies(run: OpenedRun, part: Part) -> Iterator[str]:
    seen = sorted({run.proxies[cell] for cell in part.trials["cell"]})
    if len(seen) > 1:
        yield (
            f"Cells differ in the images that they see ({', '.join(seen)}): no one baseline stands beside all of them. "
            "run.json has those of each."
        )


def _baseline(part: Part) -> Iterator[str]:
    curve, accuracy = part.curve, part.levels.get(LINEAR)
    if accuracy is not None and len(curve) and curve["mean"].max() < accuracy:
        yield f"No cell beats logistic regression on the pixels ({accuracy:.3f})."
    slopes = curve["activation_slope"].dropna().astype(np.float64) if len(curve) else curve
    if len(slopes) and slopes.max() >= NEARLY_LINEAR:
        yield f"Activation slopes up to {slopes.max():g}: near 1, a deep net is nearly a linear model."


def _provenance(trials: pd.DataFrame) -> Iterator[str]:
    commits = trials["commit"].dropna().unique()
    if len(commits) > 1:
        yield f"The trials come from {len(commits)} different commits."
    if any(str(commit).endswith("-dirty") for commit in commits):
        yield "Some trials ran with files that no commit holds (-dirty)."
    hosts, devices = trials["host"].dropna().nunique(), trials["device"].dropna().nunique()
    if hosts > 1 or devices > 1:
        kinds = f"{plural(hosts, 'host')} and {plural(devices, 'kind')} of device"
        yield f"{kinds}: seconds are compared only within a device."
