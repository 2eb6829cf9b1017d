"""How long a net trains until it reaches an accuracy: a given one, or what its residual twin ends with.

DataFrame in, DataFrame out, confirmed rows only; never Ray or torch. A seed that never gets there is not left out: its
time is longer than its training, and it counts so in the median; one that failed counts nowhere. Seconds are those of
the device in the table: rows of different devices are never put together.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from study.analysis.cost import devices_of
from study.analysis.scores import confirmed_rows

LEVEL = 0.95
LIKENESS = ("activation", "activation_slope", "norm_bias_init")  # in which a twin is the better, the more it shares
TIMES = ("steps_to_target", "seconds_to_target")


def time_to_accuracy(
    trials: pd.DataFrame, epochs: pd.DataFrame, target: float, *, by: Sequence[str] = ("depth", "recipe")
) -> pd.DataFrame:
    """Steps and seconds of training until validation accuracy first reaches `target`, over the confirmed seeds.

    One row for each group and device. Columns: the `by` names; device; target; seeds; reached, how many get there, with
    reached_low and reached_high, the exact 95 % interval of their share (Clopper-Pearson); steps_to_target and
    seconds_to_target, medians over all seeds (null where half of them or more never get there), each with _low and
    _high, an exact 95 % interval from order statistics, which takes six seeds; expected_seconds, what reaching it
    takes when a seed that does not is run to its end and another is begun: all seconds spent, up to the target or to
    the end, divided by the number that reached it (null when none did).
    """
    return _over_seeds(_times(_confirmed(trials, by).assign(target=target), epochs), list(by))


def time_to_twin(
    trials: pd.DataFrame, epochs: pd.DataFrame, *, by: Sequence[str] = ("depth", "recipe")
) -> pd.DataFrame:
    """`time_to_accuracy` of plain nets, the target being what the residual twin of the same seed ends with.

    Twins are alike in the `by` names but the recipe; of several, the one that is most like the net in LIKENESS counts.
    The column `twin` names its cell, `target` is the mean of what its seeds end with. Seeds whose twin is not
    confirmed, or diverged, have no target and are left out.
    """
    rows = _confirmed(trials, by)
    axes = [name for name in by if name not in ("recipe", "architecture", "cell")]
    plain, residual = (rows[rows["architecture"] == kind] for kind in ("plain", "residual"))
    pairs = plain.merge(residual[~residual["diverged"]], on=[*axes, "seed"], suffixes=("", "_twin"))
    compared = [name for name in LIKENESS if name not in axes]
    pairs["alike"] = (pairs[compared] == pairs[[f"{name}_twin" for name in compared]].to_numpy()).sum(axis=1)
    ranked = pairs.sort_values(["alike", "cell_twin"], ascending=[False, True], kind="stable")
    best = ranked.groupby(list(by), dropna=False, observed=True)["cell_twin"].transform("first")
    chosen = ranked[ranked["cell_twin"] == best].sort_index()
    return _over_seeds(_times(chosen.assign(target=chosen["score_twin"], twin=best), epochs), [*by, "twin"])


def _confirmed(trials: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    columns = [*by, "cell", "trial_id", "device", "steps_completed", "epochs_completed", *LIKENESS]
    rows = confirmed_rows(trials, "val_accuracy", columns)
    return rows.assign(device=devices_of(rows), trial_id=rows["trial_id"].astype(str))


def _times(rows: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """Rows with TIMES, infinite where the target is never met, and `spent`, the seconds until then or to the end."""
    ran = epochs[["trial_id", "epoch", "seconds", "val_accuracy"]].assign(trial_id=epochs["trial_id"].astype(str))
    ran = ran.sort_values("epoch").merge(rows[["trial_id", "target"]], on="trial_id")
    ran["seconds"] = ran.groupby("trial_id")["seconds"].cumsum()
    first = ran[ran["val_accuracy"] >= ran["target"]].groupby("trial_id")[["epoch", "seconds"]].first()
    met = rows[["trial_id"]].join(first, on="trial_id").astype({"epoch": np.float64, "seconds": np.float64})
    whole = rows["trial_id"].map(ran.groupby("trial_id")["seconds"].max()).astype(np.float64)
    a_epoch = rows["steps_completed"].astype(np.float64) / rows["epochs_completed"].astype(np.float64)
    return rows.assign(
        steps_to_target=(met["epoch"] * a_epoch).round().fillna(np.inf),
        seconds_to_target=met["seconds"].fillna(np.inf),
        spent=met["seconds"].fillna(whole).fillna(0.0),
    )


def _over_seeds(rows: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    columns = ["target", "seeds", "reached", "reached_low", "reached_high"]
    columns += [f"{name}{end}" for name in TIMES for end in ("", "_low", "_high")]
    table = []
    for names, group in rows.groupby([*axes, "device"], dropna=False, observed=True):
        reached = int(np.isfinite(group["seconds_to_target"]).sum())
        share = stats.binomtest(reached, len(group)).proportion_ci(LEVEL, method="exact")
        times = [value for name in TIMES for value in _median(group[name])]
        expected = group["spent"].sum() / reached if reached else np.nan
        target = float(group["target"].mean())
        table.append((*names, target, len(group), reached, share.low, share.high, *times, expected))
    return pd.DataFrame(table, columns=[*axes, "device", *columns, "expected_seconds"])


def _median(times: "pd.Series[float]") -> tuple[float, float, float]:
    """The median and its exact interval; an infinite one, and an end that the seeds leave open, is null."""
    ends = stats.quantile_test(times.to_numpy(), p=0.5).confidence_interval(LEVEL)
    found = (float(times.median()), float(ends.low), float(ends.high))
    return tuple(value if np.isfinite(value) else np.nan for value in found)  # type: ignore[return-value]
