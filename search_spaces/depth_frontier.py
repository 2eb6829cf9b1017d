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
RULE = (
    f"By the sweep's own rule a net trains when it is at most {TOLERANCE:g} less accurate than the recipe's shallowest "
    "one, in the mean over equal seeds, and more accurate than the linear baseline. It judges means, not intervals."
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


def next_cells(results: Sequence[CellResult], deepest: int) -> list[Fields]:
    """The next depth of every recipe whose bracket is still wide."""
    depths = {recipe: next_depth(mine, deepest) for recipe, mine in by_recipe(results).items()}
    return [{"depth": depth, "recipe": recipe} for recipe, depth in depths.items() if depth is not None]


def by_recipe(results: Sequence[CellResult]) -> dict[str, list[CellResult]]:
    """The results of each recipe."""
    recipes = dict.fromkeys(result.compared["recipe"] for result in results)
    return {recipe: [result for result in results if result.compared["recipe"] == recipe] for recipe in recipes}


def next_depth(results: Sequence[CellResult], deepest: int) -> int | None:
    """The depth to try next under one recipe, or None when its frontier is known."""
    last, first = frontier(results)
    if last is None:
        return None
    trained = last.compared["depth"]
    if first is None:
        return None if trained == deepest else min(deepest, buildable(trained * STRIDE))
    failed, tried = first.compared["depth"], {result.compared["depth"] for result in results}
    middle = buildable((trained * failed) ** 0.5)
    return None if failed / trained < RESOLUTION or middle in tried else middle


def frontier(results: Sequence[CellResult]) -> tuple[CellResult | None, CellResult | None]:
    """Of one recipe: the deepest net that trains, and the next deeper one, which does not; None where there is none."""
    nets = sorted(results, key=lambda result: int(result.compared["depth"]))
    trained = [place for place, net in enumerate(nets) if trains(net, nets[0])]
    place = trained[-1] if trained else -1
    return nets[place] if trained else None, nets[place + 1] if place + 1 < len(nets) else None


def conclusions(results: Sequence[CellResult]) -> list[str]:
    """The frontier of every recipe, and the rule that it follows from."""
    return [f"{recipe} {_words(*frontier(mine))}." for recipe, mine in by_recipe(results).items()] + [RULE]


def _words(trained: CellResult | None, failed: CellResult | None) -> str:
    if trained is None:
        return "" if failed is None else f"does not train at {_net(failed)}"
    return f"trains at {_net(trained)} and " + ("was tried no deeper" if failed is None else f"not at {_net(failed)}")


def _net(result: CellResult) -> str:
    return f"{result.compared['depth']} layers ({fmean(result.accuracies.values()):.3f})"


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
