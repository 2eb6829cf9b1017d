"""What accuracy costs: seconds by depth, the Pareto front, and the value of more search trials.

DataFrame in, DataFrame out; never Ray or torch. Seconds are those of the device in the table: rows of different devices
are never averaged.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from study.analysis.scores import KNOWN_POINT, groups_of, scored, select
from study.config import OBJECTIVES, SEARCH

UNKNOWN_DEVICE = "unknown"  # of trials that ended before they could say, where the others ran on several
RANDOM_SAMPLER = "random"
WHY_NOT = {"sobol": "whose points are laid out evenly together, so that no k of them are k draws"}
LEARNS = "which learns from earlier trials"
SECONDS_PER_HOUR = 3_600.0


def cost_table(trials: pd.DataFrame, *, by: Sequence[str] = ("depth", "recipe")) -> pd.DataFrame:
    """One row for each group and device: what its trials took, searches and confirmations together.

    Columns: the `by` names; device; trials; median_seconds of a finished one; spread_low and spread_high, the middle
    half of them; hours, of all trials; images_per_second and peak_memory_bytes, medians. A trial that was pruned or
    failed names no device: it counts as the others' where they share one, else as `unknown`.
    """
    axes = [*by, "device"]
    rows = select(trials, [*axes, "status", "train_seconds", "images_per_second", "peak_memory_bytes"])
    rows = rows.assign(device=devices_of(rows), train_seconds=rows["train_seconds"].astype(np.float64))
    spent = rows.groupby(axes, dropna=False)["train_seconds"].agg(trials="size", hours="sum")
    ended = rows[rows["status"] == "ok"].groupby(axes, dropna=False)
    seconds = ended["train_seconds"]
    ends = {"spread_low": seconds.quantile(0.25), "spread_high": seconds.quantile(0.75)}
    table = spent.assign(median_seconds=seconds.median(), **ends, hours=spent["hours"] / SECONDS_PER_HOUR)
    others = ended[["images_per_second", "peak_memory_bytes"]].median()
    names = ["trials", "median_seconds", "spread_low", "spread_high", "hours"]
    joined: pd.DataFrame = table[names].join(others).reset_index()
    return joined


def devices_of(rows: pd.DataFrame) -> "pd.Series[str]":
    """The device of each trial: of one that cannot say, the others' where they share one, else UNKNOWN_DEVICE."""
    known = rows["device"].dropna().unique()
    return rows["device"].astype("string").fillna(str(known[0]) if len(known) == 1 else UNKNOWN_DEVICE)


def pareto_front(frame: pd.DataFrame, *, best: str, cost: str) -> "pd.Series[bool]":
    """Tell which rows no other beats: at least as much of `best` for at most the `cost`, one of the two strictly.

    Rows that are equal in both do not beat each other. Rows with a null are never on the front.
    """
    known = frame[[best, cost]].reset_index(drop=True).dropna()  # by place: an index may repeat
    highest = known.groupby(cost)[best].max()
    cheaper = highest.cummax().shift(fill_value=-np.inf)
    front = (known[best] == known[cost].map(highest)) & (known[best] > known[cost].map(cheaper))
    return pd.Series(front.reindex(range(len(frame)), fill_value=False).to_numpy(), index=frame.index)


def non_dominated(trials: pd.DataFrame, objectives: Sequence[str]) -> pd.DataFrame:
    """The Pareto front of finished search trials over any number of objectives, best of the first one on top.

    A trial is on it when no other is at least as good in every objective and better in one. Objectives are names in
    `study.config.OBJECTIVES`, which say which way is better.
    """
    rows = trials[(trials["phase"] == SEARCH) & (trials["status"] == "ok")].dropna(subset=list(objectives))
    signs = [1.0 if OBJECTIVES[name] == "maximize" else -1.0 for name in objectives]
    gains = rows[list(objectives)].to_numpy(dtype=np.float64) * signs
    beaten = [bool(((gains >= one).all(axis=1) & (gains > one).any(axis=1)).any()) for one in gains]
    front = rows[~np.array(beaten, dtype=bool)]
    return front.sort_values(objectives[0], ascending=signs[0] < 0.0)


def expected_best(scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Expected maximum of k draws without replacement from n scores, for k = 1 .. n: shape (n,).

    sum_i C(i-1, k-1) / C(n, k) x_(i), the unbiased estimator of the best of k fresh trials (Tang et al. 2020, "Showing
    Your Work Doesn't Always Work", which shows that drawing with replacement, as Dodge et al. 2019 do, is biased low).
    Only for trials that are independent and alike: random search, run to their end. Sobol points spread out more evenly
    than draws: of 8 on the unit interval it gives .781 for the best of 3 (.75 for draws) and .837 for the best of 4,
    while the first 4 of them have .876 (2,000 scramblings).
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    n = len(ordered)
    index, k = np.arange(1, n + 1), np.arange(1, n + 1)[:, None]
    with np.errstate(invalid="ignore"):
        logarithms = special.gammaln(index) - special.gammaln(k) - special.gammaln(index - k + 1.0)
    total = special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0)
    weights = np.where(index >= k, np.exp(logarithms - total), 0.0)
    best: npt.NDArray[np.float64] = weights @ ordered
    return best


def expected_best_by_trials(trials: pd.DataFrame, sampler: str, *, by: Sequence[str]) -> pd.DataFrame:
    """`expected_best` of each group's search trials: the `by` names, trials (k), val_accuracy. Diverged: chance.

    The first search trial of a cell is its recipe's own point and no draw: it is left out.

    Raises:
        ValueError: the trials are no independent draws, or were stopped early, so the estimate would not hold.
    """
    axes = list(by)
    rows = scored(trials, [*axes, "trial_id", "phase"])
    rows = rows[(rows["phase"] == SEARCH) & ~rows["trial_id"].str.endswith(KNOWN_POINT)]
    pruned = int((rows["status"] == "pruned").sum())
    if sampler != RANDOM_SAMPLER:
        raise ValueError(
            f"the search trials were proposed by {sampler}, {WHY_NOT.get(sampler, LEARNS)}, and the expected best of k "
            f"holds only for independent draws (--sampler {RANDOM_SAMPLER})"
        )
    if pruned:
        raise ValueError(f"{pruned} of {len(rows)} search trials were pruned: their final accuracy is unknown")
    tables = []
    for names, group in groups_of(rows[rows["score"].notna()], axes):
        curve = expected_best(group["score"].to_numpy())
        columns = {"trials": np.arange(1, len(curve) + 1), "val_accuracy": curve}
        tables.append(pd.DataFrame({**names, **columns}))
    return pd.concat(tables)[[*axes, "trials", "val_accuracy"]] if tables else pd.DataFrame(columns=[*axes, "trials"])


def divergence_map(trials: pd.DataFrame, knob: str, *, bins: int = 6, by: Sequence[str] = ("depth",)) -> pd.DataFrame:
    """Share of search trials that diverged, by `by` and by bins of a searched field, equal on a log scale.

    Columns: the `by` names; low, high, the bin; trials; diverged; share. Failures for other reasons are no divergence
    and are left out; empty bins have no row.
    """
    axes = list(by)
    rows = select(trials, [*axes, knob, "phase", "status"])
    rows = rows[(rows["phase"] == SEARCH) & rows["status"].isin(["ok", "diverged", "pruned"]) & (rows[knob] > 0)]
    columns = [*axes, "low", "high", "trials", "diverged", "share"]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    values = rows[knob].astype(np.float64)
    edges = np.geomspace(values.min(), values.max(), bins + 1)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    rows = rows.assign(low=edges[place], high=edges[place + 1], diverged=(rows["status"] == "diverged").astype(int))
    table = rows.groupby([*axes, "low", "high"])["diverged"].agg(trials="size", diverged="sum").reset_index()
    return table.assign(share=table["diverged"] / table["trials"])[columns]
