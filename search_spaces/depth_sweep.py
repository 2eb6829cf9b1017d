"""How deep can a plain CNN be trained, and under which recipe?

Every depth meets every recipe; learning rate, penalty strength and modulation band are tuned in each cell alike, and
the best point of each cell is trained again on fresh seeds.

Cost on two cores: quick 10 to 25 minutes; standard days; paper: GPUs.
Command: python -m study.run depth_sweep
Finding (quick: digits, 300 steps at batch 64, 3 seeds, 2026-11-27, commit f30e8ec): the paper's order shows at 44
layers, and 300 steps are too few for ReLU nets of 110. There `isometric` has 0.973 [0.959, 0.987], `open_relu` 0.721
[0.467, 0.975] and the residual twin 0.970 [0.952, 0.989]; `he_l2` has 0.110 and the paper's recipe 0.331; at 44 layers
`he_l2` 0.827, `orthonormal` 0.632, the paper's recipe 0.915 and the twin 0.983.
Finding (standard, at 44 layers of Fashion-MNIST, bf16, 2 search trials, 5 seeds, 2026-11-24, commit bc029fe):
`isometric` 0.873 and `residual` 0.869 are not told apart, both above the linear 0.850; `orthonormal_modulated` 0.814,
`he_l2` 0.773.
"""

from search_spaces.recipes import RECIPES
from search_spaces.sweep import Fields, Float, Scale, Space, Sweep


def search(fields: Fields) -> Space:
    """The knobs that decide whether a deep net trains at all; each exists only where it acts."""
    space: dict[str, Float] = {
        "learning_rate": Float(3e-3, 0.3, log=True),
        "regularizer_strength": Float(1e-5, 1e-2, log=True),
    }
    if fields["modulation"] != "off":
        space["modulation_band"] = Float(1.0, 1.1)
    return space


sweep = Sweep(
    compare={"depth": (8, 20, 44, 110), "recipe": RECIPES},
    search=search,
    fixed={"augmentation": "none", "momentum": 0.9, "learning_rate_drops": (0.5, 0.75)},
    scales={
        "quick": Scale(
            fixed={"dataset": "digits", "batch_size": 64, "steps": 300},
            search_fixed={"steps": 100},
            caveat=(
                "300 steps are too few for ReLU recipes at 110 layers: chance there says nothing about a "
                "longer run. results/reference/length_sweep-quick and ingredients-44 show what length does."
            ),
            trials_per_cell=2,
            confirm_seeds=3,
        ),
        "standard": Scale(
            compare={"dataset": ("digits", "fashion_mnist"), "depth": (8, 20, 44, 110), "recipe": RECIPES},
            fixed={"batch_size": 128, "steps": 440},
            trials_per_cell=8,
            confirm_seeds=5,
        ),
        "paper": Scale(
            compare={"depth": (20, 32, 44, 56, 110), "recipe": RECIPES},
            fixed={"dataset": "cifar10", "batch_size": 128, "steps": 64_000, "checkpoint_every_epochs": 5},
            trials_per_cell=8,
            confirm_seeds=5,
        ),
    },
)
