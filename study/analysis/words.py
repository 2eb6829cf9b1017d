"""How findings are said: verdicts, intervals, shares. Numbers in, words out; the one place for these words."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from study.terminal import plural

NO_SEEDS = "no equal seeds"
EQUAL = "equal in every seed"
SAME_DIFFERENCE = "the same difference in every seed"
NOT_TOLD_APART = "not told apart"
LEVEL_WITHIN = "level within"
IS_BETTER = "is better"
WITHOUT_VERDICT = ("equal in the mean to", "above", "below")
MAX_LISTED = 6  # More than this in one sentence are counted, not named.
NO_WIDTH = 1e-9  # A difference smaller than this is rounding.


def is_clear(verdict: str) -> bool:
    """Whether a verdict says that one side is better."""
    return verdict.endswith(IS_BETTER)


def is_level(verdict: str) -> bool:
    """Whether a verdict says that both sides are level."""
    return verdict.startswith(LEVEL_WITHIN)


def beside(verdict: str, difference: float) -> str:
    """A verdict on two sides as a word between them, where the difference is that of the first less the second."""
    if is_clear(verdict):
        return "better than" if difference > 0 else "worse than"
    if verdict == SAME_DIFFERENCE:
        return f"{'higher' if difference > 0 else 'lower'}, by the same amount in every seed, than"
    if is_level(verdict):
        return f"level ({verdict.removeprefix('level ')}) with"
    return f"{verdict} {'to' if verdict == EQUAL else 'from'}"


def without_verdict(difference: float) -> str:
    """Say which mean is higher, and no more."""
    return WITHOUT_VERDICT[0 if abs(difference) < NO_WIDTH else 1 if difference > 0 else 2]


def in_brackets(mean: float, low: float, high: float, *, sign: str = "") -> str:
    """`0.960 [0.935, 0.985]`; the mean alone where there is no interval."""
    ends = "" if math.isnan(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]"
    return f"{mean:{sign}.3f}{ends}"


def in_two_digits(low: float, high: float) -> str:
    """The interval of a share: `[0.29, 1.00]`."""
    return f"[{low:.2f}, {high:.2f}]"


def listed(head: str, parts: Sequence[str], noun: str) -> str:
    """`parts` after `head`, or how many `noun` there are where they are too many to name; nothing for none."""
    if not parts:
        return ""
    return head + (", ".join(parts) if len(parts) <= MAX_LISTED else f"{len(parts)} {noun}")


def score_words(cell: "pd.Series[Any]") -> str:
    """What the seeds of a cell reach (a row of `curves.depth_curve`): those that trained, and how many these are."""
    trained, seeds = cell["trained"], cell["seeds"]
    if trained == 0:
        mean = in_brackets(cell["mean"], cell["low"], cell["high"])
        return f"{mean} over {plural(seeds, 'seed')}, of which none trained"
    mean = in_brackets(*(cell[f"trained_mean{end}"] for end in ("", "_low", "_high")))
    if trained == seeds:
        return f"{mean} over {plural(seeds, 'seed')}, which {'all ' if seeds > 1 else ''}trained"
    diverged = ", diverged ones as chance" if cell["diverged"] else ""
    return f"{mean} among the {trained} of {plural(seeds, 'seed')} that trained, {cell['mean']:.3f} over all{diverged}"


def share_words(cell: "pd.Series[Any]") -> str:
    """`3/3 [0.29, 1.00]`: how many seeds of a cell trained, and the exact interval of their share among all."""
    return f"{cell['trained']}/{cell['seeds']} {in_two_digits(cell['trained_low'], cell['trained_high'])}"
