"""Sweeps as users write them: texts of files."""

MY_SWEEP = '''"""Mine?"""
from search_spaces.recipes import he_l2
from search_spaces.sweep import Scale, Sweep

sweep = Sweep(
    compare={"depth": (8,), "recipe": {"he_l2": he_l2}},
    search=lambda fields: {},
    fixed={"batch_size": 256},
    scales={"quick": Scale(fixed={"dataset": "digits", "steps": 3})},
    trials_per_cell=1,
    confirm_seeds=2,
)
'''

TINY_FILE = '''"""Does it run?"""
from search_spaces.recipes import he_l2, residual
from search_spaces.sweep import Float, Scale, Sweep

sweep = Sweep(
    compare={"depth": (8,), "recipe": {"he_l2": he_l2, "residual": residual}},
    search=lambda fields: {"learning_rate": Float(0.01, 0.3, log=True)},
    scales={"quick": Scale(fixed={"dataset": "digits", "batch_size": 128, "epochs": 2})},
    trials_per_cell=2,
    confirm_seeds=2,
)
'''
