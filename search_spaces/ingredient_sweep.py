"""Which ingredient does it take to train a very deep plain CNN?

One factor at a time: the paper's recipe, its open-ReLU form and ours, each with one ingredient left out; the remedies
that a reviewer would ask for in the place of modulation (LARS, clipping, warm-up, a low rate); and neighbours, plain
and residual, that differ in the activation alone. Every cell gets the recipe's own learning rate and the same random
ones, on shorter runs, and confirms the best at full length.

Cost on two cores, as forecast: quick 5 minutes; standard 64 minutes at 44 layers, about 2.7 hours at 110; paper: GPUs.
Command: python -m study.run ingredient_sweep --scale standard --sampler random
Finding (standard at 44 layers: digits, 1,500 steps, 2026-11-27, commit a41d8f4; test accuracy, intervals over 5 seeds):
`orthonormal_modulated` 0.979 [0.966, 0.993] and its residual twin 0.978 [0.972, 0.983], difference +0.001 [-0.008,
+0.011]; `open_relu` 0.984 [0.976, 0.991], `residual_leaky` 0.981, `isometric` 0.967; `he_l2` 0.836 [0.632, 1.000], one
of whose seeds hardly learns. Over 3 seeds: without modulation (`orthonormal`) 0.957, without the penalty 0.983, without
the start 0.974; layer clipping 0.993, warm-up 0.985, LARS 0.970 in its place; `he_l2_leaky` 0.989. No pair of cells is
told apart; logistic regression has 0.959 and the nearest neighbour 0.985 on the validation images. At 110 layers: not
run yet. LARS was then what is `lars_joint` now, and the warm-up's first step had rate 0.
"""

from search_spaces.recipes import (
    RECIPES,
    WITHOUT_ONE,
    changed,
    he_l2_leaky,
    he_l2_open,
    orthonormal,
    residual_leaky,
    residual_open,
)
from search_spaces.sweep import Fields, Float, Recipe, Scale, Space, Sweep

LOW_RATE = 1e-3  # below every rate that is searched: the remedy itself is the rate

RIVALS: dict[str, Recipe] = {
    "lars": changed(orthonormal, {"optimizer": "lars"}),
    "clip_layer": changed(orthonormal, {"gradient_clip": 1.0, "gradient_clip_scope": "layer"}),
    "warm_up": changed(orthonormal, {"warmup_fraction": 0.1}),
    "low_rate": changed(orthonormal, {"learning_rate": LOW_RATE}),
}
"""In the place of modulation in the paper's recipe."""

NEIGHBORS: dict[str, Recipe] = {
    "he_l2_leaky": he_l2_leaky,
    "he_l2_open": he_l2_open,
    "residual_leaky": residual_leaky,
    "residual_open": residual_open,
}
"""Activation-matched neighbours of `isometric` and of `open_relu`."""

INGREDIENTS: dict[str, Recipe] = {**RECIPES, **WITHOUT_ONE, **RIVALS, **NEIGHBORS}

HEADLINE = ("he_l2", "orthonormal_modulated", "open_relu", "isometric", "residual", "residual_leaky")
QUICK = (*HEADLINE, "orthonormal", "isometric_without_modulation", "lars")


def search(fields: Fields) -> Space:
    """The learning rate alone: it decides, and it is every recipe's."""
    return {} if fields["learning_rate"] == LOW_RATE else {"learning_rate": Float(3e-3, 0.3, log=True)}


def confirm_seeds(fields: Fields) -> int:
    """Five for the cells that a headline compares, for fewer allow no verdict; three elsewhere."""
    return 5 if fields["recipe"] in HEADLINE else 3


sweep = Sweep(
    compare={"depth": (44, 110), "recipe": INGREDIENTS},
    search=search,
    fixed={
        **{"augmentation": "none", "momentum": 0.9, "learning_rate_drops": (0.5, 0.75)},
        "diagnostics_every_epochs": 50,  # these runs are long, and their tables are to stay small
    },
    trials_per_cell=5,  # the recipe's own rate and four that all cells share
    confirm_seeds=confirm_seeds,
    scales={
        "quick": Scale(
            compare={"depth": (44,), "recipe": {name: INGREDIENTS[name] for name in QUICK}},
            fixed={"dataset": "digits", "batch_size": 128, "steps": 300},
            search_fixed={"steps": 100},
            trials_per_cell=3,
            confirm_seeds=3,
        ),
        "standard": Scale(
            fixed={"dataset": "digits", "batch_size": 128, "steps": 1_500},
            search_fixed={"steps": 500},
        ),
        "paper": Scale(
            fixed={"dataset": "cifar10", "batch_size": 128, "steps": 64_000, "checkpoint_every_epochs": 5},
            search_fixed={"steps": 20_000},
        ),
    },
)
