"""When and how hard should the backward error be modulated, and what does that add beyond its rivals?

Both rules meet every schedule; beside them stand the net left alone and the remedies that a reviewer would ask for:
LARS, clipping (of the whole gradient, of each parameter's) and warm-up. All else is the paper's: orthonormal start,
orthonormality penalty, ReLU. Learning rate, band, cutoff and clipping norm are tuned where they act.

Cost on two cores: quick 7 minutes; standard, on Fashion-MNIST, days; paper: GPUs.
Command: python -m study.run modulation_sweep
Finding (quick: digits, depth 44, 8 epochs, 3 seeds, 2026-11-24, commit 7507920): LARS 0.819, cumulative modulation
0.731, off 0.532; the intervals are wide, and no schedule of modulation is shown to beat LARS here. LARS was
then what is `lars_joint` now, and the warm-up's first step had rate 0.
"""

from functools import partial

from search_spaces.recipes import changed, modulation_band, orthonormal
from search_spaces.sweep import Fields, Float, Recipe, Scale, Space, Sweep

RULES = ("pairwise", "cumulative")
SCHEDULES = ("constant", "until_cutoff", "linear", "cosine", "phase_start")

RIVALS: dict[str, Fields] = {
    "off": {},
    "lars": {"optimizer": "lars"},
    "clip_global": {"gradient_clip": 1.0, "gradient_clip_scope": "global"},
    "clip_layer": {"gradient_clip": 1.0, "gradient_clip_scope": "layer"},
    "warm_up": {"warmup_fraction": 0.1},
}


def modulated(rule: str, schedule: str, fields: Fields) -> Fields:
    """The paper's net with one rule under one schedule."""
    band = modulation_band(fields["depth"])
    acting = {"modulation": rule, "modulation_schedule": schedule, "modulation_band": band, "modulation_cutoff": 0.5}
    return orthonormal(fields) | acting


RECIPES: dict[str, Recipe] = {
    **{name: changed(orthonormal, changes) for name, changes in RIVALS.items()},
    **{f"{rule}_{schedule}": partial(modulated, rule, schedule) for rule in RULES for schedule in SCHEDULES},
}
QUICK = ("off", "lars", "clip_layer", "warm_up", "pairwise_constant", "pairwise_cosine", "cumulative_constant")


def search(fields: Fields) -> Space:
    """Each knob where it acts."""
    space: Space = {"learning_rate": Float(1e-3, 1.0, log=True)}
    if fields["modulation"] != "off":
        space = {**space, "modulation_band": Float(1.0, 1.1)}
        if fields["modulation_schedule"] != "constant":
            space = {**space, "modulation_cutoff": Float(0.1, 1.0)}
    if fields["gradient_clip"] is not None:
        space = {**space, "gradient_clip": Float(0.01, 10.0, log=True)}
    return space


sweep = Sweep(
    compare={"depth": (44, 110), "recipe": RECIPES},
    search=search,
    fixed={"augmentation": "none", "momentum": 0.9, "learning_rate_drops": (0.5, 0.75)},
    scales={
        "quick": Scale(
            compare={"depth": (44,), "recipe": {name: RECIPES[name] for name in QUICK}},
            fixed={"dataset": "digits", "batch_size": 32, "epochs": 8},
            trials_per_cell=4,
            confirm_seeds=3,
        ),
        "standard": Scale(
            fixed={"dataset": "fashion_mnist", "batch_size": 128, "steps": 440, "precision": "bf16"},
            trials_per_cell=8,
            confirm_seeds=5,
        ),
        "paper": Scale(
            fixed={"dataset": "cifar10", "batch_size": 128, "steps": 64_000, "checkpoint_every_epochs": 5},
            trials_per_cell=8,
            confirm_seeds=5,
        ),
    },
)
