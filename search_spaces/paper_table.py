"""Do plain nets match their residual twins under the paper's recipes, as published?

Nothing is searched: every row is trained as it stands, on fresh seeds. Augmented and plain images are never mixed: each
is a scale of its own. Published test errors stand beside ours: read off the paper's figure 5, and from He et al. 2016,
table 6.

Cost on two cores: quick 7 minutes; standard, on Fashion-MNIST, days; paper: GPUs.
Command: python -m study.run paper_table
Finding (quick: digits, 8 epochs, 3 seeds, 2026-11-24, commit 7507920): no. At depth 44 the plain rows reach 0.375,
0.448 and 0.554 in the table's order, at 110 chance to 0.216; every residual row reaches 0.963 or more.
"""

from search_spaces.recipes import changed, he_l2, orthonormal, orthonormal_modulated, residual
from search_spaces.sweep import Fields, Recipe, Scale, Sweep

PAPERS_RATE = 0.1  # He et al.'s, which the paper follows as far as can be read


RESIDUAL: Fields = {"architecture": "residual"}  # modulated: one factor a block, on the error of the block's output

ROWS: dict[str, Recipe] = {
    "plain_l2": he_l2,
    "plain_orthonormal": orthonormal,
    "plain_orthonormal_modulated": orthonormal_modulated,
    "residual_l2": residual,
    "residual_orthonormal": changed(orthonormal, RESIDUAL),
    "residual_orthonormal_modulated": changed(orthonormal_modulated, RESIDUAL),
}


# He et al.'s rate is too high for these depths on small data, so the smaller scales keep the recipes' own.
PAPERS_ROWS = {name: changed(row, {"learning_rate": PAPERS_RATE}) for name, row in ROWS.items()}

PUBLISHED = {  # test errors on CIFAR-10 without augmentation, read off the paper's figure 5
    "depth=44,recipe=plain_l2": 0.163,
    "depth=44,recipe=plain_orthonormal": 0.129,
    "depth=44,recipe=residual_l2": 0.1215,
    "depth=110,recipe=residual_l2": 0.134,
    "depth=110,recipe=residual_orthonormal": 0.0995,
}
REMARKS = {"depth=44,recipe=plain_orthonormal": "whether modulation is included is not known"}
PUBLISHED_AUGMENTED = {  # residual: He et al. 2016, table 6; plain: a reproduction of theirs
    "depth=44,recipe=plain_l2": 0.114,
    "depth=44,recipe=residual_l2": 0.0717,
    "depth=110,recipe=residual_l2": 0.0643,
}

CIFAR: Fields = {"dataset": "cifar10", "batch_size": 128, "steps": 64_000, "checkpoint_every_epochs": 5}

sweep = Sweep(
    compare={"depth": (44, 110), "recipe": ROWS},
    fixed={"momentum": 0.9, "learning_rate_drops": (0.5, 0.75)},
    scales={
        "quick": Scale(
            fixed={"dataset": "digits", "augmentation": "none", "batch_size": 32, "epochs": 8}, confirm_seeds=3
        ),
        "standard": Scale(
            fixed={"dataset": "fashion_mnist", "augmentation": "none", "batch_size": 128, "steps": 440},
            confirm_seeds=5,
        ),
        "paper": Scale(
            compare={"recipe": PAPERS_ROWS},
            fixed={**CIFAR, "augmentation": "none"},
            confirm_seeds=5,
            published=PUBLISHED,
            remarks=REMARKS,
        ),
        "paper_augmented": Scale(
            compare={"recipe": PAPERS_ROWS},
            fixed={**CIFAR, "augmentation": "standard"},
            confirm_seeds=5,
            published=PUBLISHED_AUGMENTED,
        ),
    },
)
