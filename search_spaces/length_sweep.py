"""Does depth cost a plain net more steps than its residual twin, or is the twin out of reach?

The paper's recipe and its open-ReLU form, each beside the twin with the same activation, are trained for three lengths
a factor of four apart. The rate is searched at the shortest, on the same random points in every cell.

Cost on two cores: quick 6 minutes as forecast (16 beside other work); standard was not measured, about 1 hour on digits
at 44 layers and 3 at 110; paper: GPUs.
Command: python -m study.run length_sweep --scale standard --sampler random
Finding (quick: digits, 44 layers, batch 128, 3 seeds, 2026-11-27, commit a41d8f4): it costs steps. Validation accuracy
after 50, 200 and 800 steps: `orthonormal_modulated` 0.381, 0.877, 0.965 [0.933, 0.998], its twin 0.953, 0.977, 0.979
[0.974, 0.984]; `open_relu` 0.948, 0.978, 0.980 keeps pace with that twin. `residual_open`, its rate searched too short,
has 0.405, 0.921, 0.956.
"""

from search_spaces.recipes import open_relu, orthonormal_modulated, residual, residual_open
from search_spaces.sweep import Fields, Float, Recipe, Scale, Space, Sweep

PAIRS: dict[str, Recipe] = {
    "orthonormal_modulated": orthonormal_modulated,
    "residual": residual,
    "open_relu": open_relu,
    "residual_open": residual_open,
}


def search(_fields: Fields) -> Space:
    """The learning rate alone."""
    return {"learning_rate": Float(3e-3, 0.3, log=True)}


sweep = Sweep(
    compare={"steps": (400, 1_600, 6_400), "depth": (44, 110), "recipe": PAIRS},
    search=search,
    fixed={
        **{"augmentation": "none", "momentum": 0.9, "learning_rate_drops": (0.5, 0.75)},
        "diagnostics_every_epochs": 50,  # these runs are long, and their tables are to stay small
    },
    search_fixed={"steps": 400},
    trials_per_cell=5,  # the recipe's own rate and four that all cells share
    confirm_seeds=3,
    scales={
        "quick": Scale(
            compare={"steps": (50, 200, 800), "depth": (44,)},
            fixed={"dataset": "digits", "batch_size": 128},
            search_fixed={"steps": 50},
            trials_per_cell=3,
        ),
        "standard": Scale(fixed={"dataset": "digits", "batch_size": 128}),
        "paper": Scale(
            compare={"steps": (4_000, 16_000, 64_000)},
            fixed={"dataset": "cifar10", "batch_size": 128, "checkpoint_every_epochs": 5},
            search_fixed={"steps": 4_000},
        ),
    },
)
