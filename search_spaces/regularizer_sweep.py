"""Which orthogonality penalty, and how strong, in a very deep plain CNN?

The kind of penalty is compared; its strength, its schedule and the learning rate are tuned for each kind alike. All
else is the `isometric` recipe, under which nets of these depths train with any of them.

Cost on two cores: quick 3 minutes; standard, on Fashion-MNIST, days; paper: GPUs.
Command: python -m study.run regularizer_sweep
Finding (quick: digits, depth 44, 8 epochs, 3 seeds, 2026-11-24, commit 7507920): L2 0.984, orthonormal 0.977, spectral
isometry 0.975, none 0.970: no pair can be told apart. On so short a run the start matters, the penalty hardly.
"""

from search_spaces.recipes import isometric
from search_spaces.sweep import Choice, Fields, Float, Scale, Space, Sweep

KINDS = (
    *("none", "l2", "orthonormal", "mutual_coherence", "spectral_isometry", "convolutional"),
    "newton_schulz",  # a hard constraint: it has no strength to tune
)
UNTUNED = {"none", "newton_schulz"}


def search(fields: Fields) -> Space:
    """Strength and schedule exist only where there is a penalty."""
    space: Space = {"learning_rate": Float(1e-3, 0.3, log=True)}
    if fields["regularizer"] in UNTUNED:
        return space
    return {
        **space,
        "regularizer_strength": Float(1e-6, 0.1, log=True),
        "regularizer_schedule": Choice(("constant", "linear", "spectral_isometry_steps")),
    }


sweep = Sweep(
    compare={"depth": (44, 110), "recipe": {"isometric": isometric}, "regularizer": KINDS},
    search=search,
    fixed={"augmentation": "none", "momentum": 0.9, "learning_rate_drops": (0.5, 0.75)},
    scales={
        "quick": Scale(
            compare={"depth": (44,), "regularizer": ("none", "l2", "orthonormal", "spectral_isometry")},
            fixed={"dataset": "digits", "batch_size": 32, "epochs": 8},
            trials_per_cell=4,
            confirm_seeds=3,
        ),
        "standard": Scale(
            fixed={"dataset": "fashion_mnist", "batch_size": 128, "steps": 440, "precision": "bf16"},
            trials_per_cell=12,
            confirm_seeds=5,
        ),
        "paper": Scale(
            fixed={"dataset": "cifar10", "batch_size": 128, "steps": 64_000, "checkpoint_every_epochs": 5},
            trials_per_cell=16,
            confirm_seeds=5,
        ),
    },
)
