"""How deep can a plain net get before it stops training, under each recipe?

A net *trains* when its confirmed accuracy is within 2 points of the same recipe's at depth 20 (at the shallowest, where
`--set depth` names others), on equal seeds, and above the linear baseline. For each recipe the depth is raised by 1.8
until a net's mean falls short, then the bracket is halved; nets near it get more seeds until an interval tells whether
they train, or 12 leave it undecided. A slope near 1 makes a net nearly linear, so the frontier is sought with slopes up
to 0.5 and with a free slope apart.

Cost on two cores: quick 6 minutes; standard, on Fashion-MNIST, days; paper: GPUs.
Command: python -m study.run depth_frontier
Finding (quick: digits, 8 epochs, 3 seeds, 2026-11-24, commit 7507920): by the means `isometric_nonlinear` keeps up at
140 layers (0.963) and no longer at 158 (0.926), and `he_l2`, at its one rate of 0.1, is below the linear baseline at 20
(0.923). Judged by intervals, three seeds decide nothing yet; the same command goes on with more.
"""

import math
from collections.abc import Sequence
from enum import Enum
from functools import partial
from statistics import fmean
from typing import NamedTuple

from search_spaces.recipes import RECIPES, isometric
from search_spaces.sweep import CellResult, Fields, Scale, Sweep

SHALLOW = 20  # the depth at which every recipe trains, and that deeper nets are measured against
TOLERANCE = 0.02  # accuracy that a net may lose against SHALLOW and still count as trained
STRIDE = 1.8  # how much deeper the next net is while all have trained
RESOLUTION = 1.15  # a bracket narrower than this ratio is not halved: seeds differ by more
STEEPEST_SLOPE = 0.5  # of the recipe that is to stay clearly nonlinear
LOOKS = (3, 6, 12)  # numbers of seeds at which a net is judged, each twice the last; then it stays undecided
MAX_NETS = 12  # of one recipe: what the climb from 20 to 1,202 and the halving take
FALSE_VERDICT = 0.05  # probability that one of a recipe's nets is judged wrongly, over all looks at all of its nets
ERROR = FALSE_VERDICT / (len(LOOKS) * MAX_NETS)  # of one interval (Bonferroni)
ROUNDING = 0.001  # least standard deviation of an accuracy: what rounding to 1/300 has, so equal seeds prove little
RULE = (
    f"By the sweep's own rule a net trains when it is at most {TOLERANCE:g} less accurate than the recipe's shallowest "
    "one, on equal seeds, and more accurate than the linear baseline. It is judged by Student's intervals over seeds, "
    f"at {', '.join(map(str, LOOKS[:-1]))} and {LOOKS[-1]} of them where that is needed; the chance of a false verdict "
    f"is {FALSE_VERDICT:.0%} a recipe, over all looks. A diverged seed counts as chance; failures too rare to show in "
    "these seeds are in no interval."
)


def isometric_nonlinear(fields: Fields) -> Fields:
    """`isometric` with a slope of at most 0.5."""
    recipe = isometric(fields)
    return recipe | {"activation_slope": min(STEEPEST_SLOPE, recipe["activation_slope"])}


FRONTIER_RECIPES = {
    **{name: RECIPES[name] for name in ("he_l2", "orthonormal", "orthonormal_modulated")},
    "isometric_nonlinear": isometric_nonlinear,
    "isometric_free": isometric,
}


class Verdict(Enum):
    """Whether a net trains, as far as its seeds can tell."""

    IN = "trains"
    OUT = "does not train"
    UNDECIDED = "is undecided"


class Frontier(NamedTuple):
    """What is known of one recipe: the deepest net that trains, the next deeper one that does not, those between."""

    trained: CellResult | None
    undecided: Sequence[CellResult]
    failed: CellResult | None


def next_cells(results: Sequence[CellResult], deepest: int) -> list[Fields]:
    """The next depth of every recipe whose bracket is still wide; more seeds at the ends of one that is narrow."""
    points = {recipe: next_points(mine, deepest) for recipe, mine in by_recipe(results).items()}
    return [{**point, "recipe": recipe} for recipe, mine in points.items() for point in mine]


def by_recipe(results: Sequence[CellResult]) -> dict[str, list[CellResult]]:
    """The results of each recipe, from the shallowest net to the deepest."""
    recipes = dict.fromkeys(result.compared["recipe"] for result in results)
    nets = sorted(results, key=lambda result: int(result.compared["depth"]))
    return {recipe: [net for net in nets if net.compared["recipe"] == recipe] for recipe in recipes}


def next_points(nets: Sequence[CellResult], deepest: int) -> list[Fields]:
    """What to run next of one recipe. One net at a time gets seeds, with the shallowest, whose seeds it is paired with.

    So a run that is taken up again comes to the same nets by the same steps.
    """
    depth = next_depth(nets, deepest)
    if depth is not None:
        return [{"depth": depth}]
    net = open_net(nets)
    if net is None:
        return []
    seeds = next(look for look in LOOKS if look > len(judged_seeds(net, nets[0])))
    return [{"depth": one.compared["depth"], "confirm_seeds": seeds} for one in (nets[0], net)]


def next_depth(nets: Sequence[CellResult], deepest: int) -> int | None:
    """The depth to try next under one recipe, or None when its bracket is narrow."""
    last, first = bracket(nets)
    if last is None or len(nets) == MAX_NETS:
        return None
    trained = last.compared["depth"]
    if first is None:
        return None if trained == deepest else min(deepest, buildable(trained * STRIDE))
    failed, tried = first.compared["depth"], {net.compared["depth"] for net in nets}
    middle = buildable((trained * failed) ** 0.5)
    return None if failed / trained < RESOLUTION or middle in tried else middle


def bracket(nets: Sequence[CellResult]) -> tuple[CellResult | None, CellResult | None]:
    """By the means alone: the deepest net that keeps up, and the next deeper one; None where there is none.

    It says where to look, and nothing of what is found there.
    """
    place = max((place for place, net in enumerate(nets) if keeps_up(net, nets[0])), default=-1)
    return nets[place] if place >= 0 else None, nets[place + 1] if place + 1 < len(nets) else None


def open_net(nets: Sequence[CellResult]) -> CellResult | None:
    """The net nearest the bracket that more seeds may decide: first on its side that trains, then on the other.

    A net that stays undecided at the last look hands on to its neighbour, away from the bracket.
    """
    last, _ = bracket(nets)
    place = 0 if last is None else nets.index(last) + 1
    for side in (nets[:place][::-1], nets[place:]):
        for net in side:
            if verdict(net, nets[0]) is not Verdict.UNDECIDED:
                break
            if len(judged_seeds(net, nets[0])) < LOOKS[-1]:
                return net
    return None


def judged_seeds(net: CellResult, shallow: CellResult) -> Sequence[int]:
    """The seeds of the last look that both nets have in full; before the first, all that they share."""
    shared = sorted(net.accuracies.keys() & shallow.accuracies.keys())
    full = [look for look in LOOKS if shared[:look] == list(range(look))]
    return shared[: full[-1]] if full else shared


def shortfalls(net: CellResult, shallow: CellResult) -> tuple[list[float], list[float]]:
    """For each judged seed, how far the net is behind what its sibling allows, and behind the linear baseline."""
    seeds = judged_seeds(net, shallow)
    allowed = [shallow.accuracies[seed] - TOLERANCE - net.accuracies[seed] for seed in seeds]
    return allowed, [net.linear_baseline - net.accuracies[seed] for seed in seeds]


def keeps_up(net: CellResult, shallow: CellResult) -> bool:
    """Whether the net falls short of neither in the mean; a net without seeds to judge by does not keep up."""
    behind, below = (fmean(values) if values else math.inf for values in shortfalls(net, shallow))
    return behind <= 0.0 and below < 0.0


def verdict(net: CellResult, shallow: CellResult) -> Verdict:
    """Whether both intervals lie below 0, or one above it."""
    if len(judged_seeds(net, shallow)) < LOOKS[0]:
        return Verdict.UNDECIDED
    intervals = [student_interval(values) for values in shortfalls(net, shallow)]
    if all(high < 0.0 for _, high in intervals):
        return Verdict.IN
    return Verdict.OUT if any(low > 0.0 for low, _ in intervals) else Verdict.UNDECIDED


def student_interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's interval of the mean of two or more values, wrong with probability ERROR; never of width 0."""
    from scipy.special import stdtrit  # takes half a second, which `--help` need not wait for

    mean, count = fmean(values), len(values)
    deviation = max(ROUNDING, math.dist(values, [mean] * count) / math.sqrt(count - 1))
    half = float(stdtrit(count - 1, 1.0 - ERROR / 2.0)) * deviation / math.sqrt(count)
    return mean - half, mean + half


def frontier(nets: Sequence[CellResult]) -> Frontier:
    """Sum up what the verdicts say of one recipe's nets, from the shallowest to the deepest."""
    verdicts = [verdict(net, nets[0]) for net in nets]
    above = max((place + 1 for place, found in enumerate(verdicts) if found is Verdict.IN), default=0)
    end = next((place for place in range(above, len(nets)) if verdicts[place] is Verdict.OUT), len(nets))
    trained, failed = nets[above - 1] if above else None, nets[end] if end < len(nets) else None
    return Frontier(trained, nets[above:end], failed)


def conclusions(results: Sequence[CellResult]) -> list[str]:
    """The frontier of every recipe, and the rule that it follows from."""
    return [f"{recipe} {_words(frontier(mine))}." for recipe, mine in by_recipe(results).items()] + [RULE]


def _words(found: Frontier) -> str:
    trained, undecided, failed = found
    parts = []
    if trained is not None:
        parts.append(f"{Verdict.IN.value} at {_net(trained)}")
    if undecided:
        ends = dict.fromkeys((_net(undecided[0]), _net(undecided[-1])))
        parts.append(f"{Verdict.UNDECIDED.value} {'from' if len(ends) == 2 else 'at'} {' to '.join(ends)}")
    if failed is not None:
        parts.append(f"{Verdict.OUT.value} at {_net(failed)}")
    elif not undecided:
        parts.append("was tried no deeper")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[:-1] else parts)


def _net(net: CellResult) -> str:
    seeds = len(net.accuracies)
    known = f"{fmean(net.accuracies.values()):.3f}, {seeds} seed{'s' * (seeds > 1)}" if seeds else "all seeds failed"
    return f"{net.compared['depth']} layers ({known})"


def buildable(depth: float) -> int:
    """The nearest depth of the form 6n + 2."""
    return 6 * round((depth - 2) / 6) + 2


sweep = Sweep(
    compare={"depth": (SHALLOW,), "recipe": FRONTIER_RECIPES},
    fixed={"augmentation": "none", "momentum": 0.9, "learning_rate_drops": (0.5, 0.75)},
    conclusions=conclusions,
    scales={
        "quick": Scale(
            compare={"recipe": {name: FRONTIER_RECIPES[name] for name in ("he_l2", "isometric_nonlinear")}},
            fixed={"dataset": "digits", "batch_size": 32, "epochs": 8},
            confirm_seeds=3,
            next_cells=partial(next_cells, deepest=200),
        ),
        "standard": Scale(
            fixed={"dataset": "fashion_mnist", "batch_size": 128, "steps": 440, "precision": "bf16"},
            confirm_seeds=5,
            next_cells=partial(next_cells, deepest=1202),
        ),
        "paper": Scale(
            fixed={"dataset": "cifar10", "batch_size": 128, "steps": 64_000, "checkpoint_every_epochs": 5},
            confirm_seeds=5,
            next_cells=partial(next_cells, deepest=1202),
        ),
    },
)
