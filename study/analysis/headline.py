"""The answer to a sweep's question in one plain line: who trains, beside whom, who does not. Tables in, words out.

Its verdicts are those of `study.analysis.sentence`, which has the numbers behind it. A cell trains when all of its
seeds do.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from study.analysis.scores import VERDICT_FROM, cell_name, matches
from study.analysis.sentence import Findings, nothing_confirmed, pair_of, twins_of
from study.analysis.words import beside, without_verdict
from study.terminal import plural

MAX_NAMED = 4  # More cells than this are counted, not named.
FEW_SEEDS = ", with too few seeds for a verdict"


def headline(found: Findings) -> str:
    """One line: at the greatest depth, the plain cell with the highest mean, its rival, and whether the others train.

    The rival is its residual twin at equal values of everything else that is compared, or the next plain cell there.
    """
    if found.curve.empty:
        return nothing_confirmed(found.trials)
    curve = found.curve.sort_values("mean", ascending=False, kind="stable")
    here = curve[curve["depth"] == curve["depth"].max()] if "depth" in found.axes else curve
    place = f" at {here['depth'].iloc[0]} layers" if "depth" in found.axes else ""
    named = [name for name in found.axes if here[name].nunique(dropna=False) > 1]
    plain = here[here["architecture"] == "plain"]
    candidates = plain if len(plain) else here
    trained = candidates[candidates["trained"] > 0]
    if trained.empty:
        kind = "plain net" if len(plain) < len(here) else "net"
        return _line([f"No {kind} trains{place}", *_others(here[here["trained"] > 0], named, "")])
    leader = trained.iloc[0]
    rival = _rival(found, leader, here)
    beside_it = "".join(_beside(found, leader, row, named) for _, row in rival.iterrows())
    lead = f"{_name(leader, named)} trains{place}{_share(leader)}: {leader['mean']:.3f}{beside_it}"
    return _line([lead, *_others(here.drop(index=[leader.name, *rival.index]), named, " too")])


def _line(clauses: Sequence[str]) -> str:
    return "; ".join(clauses) + "."


def _name(cell: "pd.Series[Any]", named: list[str]) -> str:
    return cell_name(cell, named) or "The net"


def _share(cell: "pd.Series[Any]") -> str:
    return "" if cell["trained"] == cell["seeds"] else f" in {cell['trained']} of {plural(cell['seeds'], 'seed')}"


def _rival(found: Findings, leader: "pd.Series[Any]", here: pd.DataFrame) -> pd.DataFrame:
    """The cell that the leader is held against, one row or none."""
    if not found.contrast:
        return here.iloc[:0]
    equal = {name: leader[name] for name in found.axes if name != found.contrast}
    alike = here[matches(here, equal)].drop(index=leader.name)
    residual = alike[alike["architecture"] == "residual"]
    return twins_of(leader, residual).iloc[:1] if len(residual) else alike.iloc[:1]


def _beside(found: Findings, leader: "pd.Series[Any]", rival: "pd.Series[Any]", named: list[str]) -> str:
    pair, difference = pair_of(found, leader, rival)
    name = f"{_name(rival, named)} {rival['mean']:.3f}"
    if pair["pairs"] == 0:
        return f", without equal seeds to compare with {name}"
    if pair["pairs"] < VERDICT_FROM:
        return f", {without_verdict(difference)} {name}{FEW_SEEDS}"
    return f", {beside(pair['verdict'], difference)} {name}"


def _others(cells: pd.DataFrame, named: list[str], too: str) -> Iterator[str]:
    """Which of the other cells train, which in some of their seeds, and which do not."""
    every, none = cells["trained"] == cells["seeds"], cells["trained"] == 0
    if every.any():
        yield f"{_names(cells[every], named)} {'trains' if every.sum() == 1 else 'train'}{too}"
    if len(some := cells[~every & ~none]):
        told = ", ".join(_name(cell, named) + _share(cell) for _, cell in some.iterrows())
        yield told if len(some) <= MAX_NAMED else f"{len(some)} others in some of their seeds"
    if none.any():
        yield f"{_names(cells[none], named)} {'does' if none.sum() == 1 else 'do'} not"


def _names(cells: pd.DataFrame, named: list[str]) -> str:
    """`a, b and c`, or how many."""
    names = [_name(cell, named) for _, cell in cells.iterrows()]
    if len(names) > MAX_NAMED:
        return f"{len(names)} others"
    *first, last = names
    return f"{', '.join(first)}{' and ' if first else ''}{last}"
