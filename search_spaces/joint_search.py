"""What do accuracy, time and size cost each other when depth, penalty and modulation are searched together?

One study over everything, with several objectives; the answer is a Pareto front. The start is the `isometric` recipe at
depth 20, and every part of it may change.

Cost on two cores: quick 2 minutes; standard, on Fashion-MNIST, days; paper: GPUs.
Command: python -m study.run joint_search
Finding (quick: digits, 8 epochs, 40 trials, 2026-11-24, commit 7507920): the front is all at depth 8 (0.993 in 3.0 s,
0.989 in 2.6 s, 0.978 in 2.0 s, one seed each); the best point confirms at 0.981 over 3 seeds: here depth buys nothing.
"""

from search_spaces.recipes import isometric
from search_spaces.sweep import Choice, Fields, Float, Scale, Space, Sweep

DEPTHS = (8, 14, 20, 32, 44, 56, 110)
START = 20


def search(_fields: Fields) -> Space:
    """Every knob of the recipe, searched at once."""
    return {
        "depth": Choice(DEPTHS),
        "activation_slope": Float(0.0, 0.5),
        "learning_rate": Float(1e-3, 0.3, log=True),
        "regularizer_strength": Float(1e-6, 0.1, log=True),
        "modulation_band": Float(1.0, 1.1),
        "modulation_schedule": Choice(("constant", "until_cutoff", "linear", "cosine", "phase_start")),
        "modulation_cutoff": Float(0.1, 1.0),
    }


sweep = Sweep(
    compare={},
    search=search,
    fixed={
        "depth": START,
        **isometric({"depth": START}),
        "modulation_cutoff": 0.5,
        "learning_rate_drops": (0.5, 0.75),
    },
    objectives=("val_accuracy", "train_seconds", "parameters"),
    scales={
        "quick": Scale(
            fixed={"dataset": "digits", "batch_size": 32, "epochs": 8},
            trials_per_cell=40,
            confirm_seeds=3,
        ),
        "standard": Scale(
            fixed={"dataset": "fashion_mnist", "batch_size": 128, "steps": 440, "precision": "bf16"},
            trials_per_cell=100,
            confirm_seeds=5,
        ),
        "paper": Scale(
            fixed={"dataset": "cifar10", "batch_size": 128, "steps": 64_000, "checkpoint_every_epochs": 5},
            trials_per_cell=200,
            confirm_seeds=5,
        ),
    },
)
