"""How deep can a plain net get before it stops training, under each recipe?

A net *trains* when its confirmed accuracy is within 2 points of the same recipe's at depth 20 (at the shallowest, where
`--set depth` names others), on equal seeds, and above the linear baseline. For each recipe the depth is raised by 1.8
until a net does not train, then the bracket is halved. A slope near 1 makes a net nearly linear, so the frontier is
sought with slopes up to 0.5 and with a free slope apart.

Finding (quick: digits, 8 epochs, 3 seeds, 2026-11-24, commit 7507920): `isometric_nonlinear` trains at 140 layers
(0.963) and no longer at 158 (0.926); `he_l2`, at its one rate of 0.1, is not above the linear baseline at 20 (0.923).
"""

from collections.abc import Sequence
from functools import partial
from statistics import fmean

from search_spaces.recipes import RECIPES, isometric
from search_spaces.sweep import CellResult, Fields, Scale, Sweep

SHALLOW = 20  # the depth at which every recipe trains, and that deeper nets are measured against
TOLERANCE = 0.02  # accuracy that a net may lose against SHALLOW and still count as trained
STRIDE = 1.8  # how much deeper the next net is while all have trained
RESOLUTION = 1.15  # a bracket narrower than this ratio is not halved: seeds differ by more
STEEPEST_SLOPE = 0.5  # of the recipe that is to stay clearly nonlinear


def isometric_nonlinear(fields: Fields) -> Fields:
    """`isometric` with a slope of at most 0.5."""
    recipe = isometric(fields)
    return recipe | {"activation_slope": min(STEEPEST_SLOPE, recipe["activation_slope"])}


FRONTIER_RECIPES = {
    **{name: RECIPES[name] for name in ("he_l2", "orthonormal", "orthonormal_modulated")},
    "isometric_nonlinear": isometric_nonlinear,
    "isometric_free": isometric,
}


def next_cells(results: Sequence[CellResult], deepest: int) -> list[Fields]:
    """The next depth of every recipe whose bracket is still wide."""
    points = []
    for recipe in dict.fromkeys(result.compared["recipe"] for result in results):
        mine = [result for result in results if result.compared["recipe"] == recipe]
        depth = next_depth(mine, deepest)
        if depth is not None:
            points.append({"depth": depth, "recipe": recipe})
    return points


def next_depth(results: Sequence[CellResult], deepest: int) -> int | None:
    """The depth to try next under one recipe, or None when its frontier is known."""
    by_depth = {result.compared["depth"]: result for result in results}
    shallow = by_depth[min(by_depth)]
    verdicts = {depth: trains(result, shallow) for depth, result in by_depth.items()}
    if not any(verdicts.values()):
        return None
    trained = max(depth for depth, verdict in verdicts.items() if verdict)
    failed = min((depth for depth in verdicts if depth > trained), default=None)
    if failed is None:
        return None if trained == deepest else min(deepest, buildable(trained * STRIDE))
    middle = buildable((trained * failed) ** 0.5)
    return None if failed / trained < RESOLUTION or middle in verdicts else middle


def trains(result: CellResult, shallow: CellResult) -> bool:
    """Whether the net keeps up with its shallow sibling, seed by seed, and beats the linear model."""
    seeds = result.accuracies.keys() & shallow.accuracies.keys()
    loss = fmean(shallow.accuracies[seed] - result.accuracies[seed] for seed in seeds)
    return loss <= TOLERANCE and fmean(result.accuracies.values()) > result.linear_baseline


def buildable(depth: float) -> int:
    """The nearest depth of the form 6n + 2."""
    return 6 * round((depth - 2) / 6) + 2


sweep = Sweep(
    compare={"depth": (SHALLOW,), "recipe": FRONTIER_RECIPES},
    fixed={"augmentation": "none", "momentum": 0.9, "learning_rate_drops": (0.5, 0.75)},
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
