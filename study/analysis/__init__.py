"""Statistics of result tables: DataFrame in, DataFrame out, axes in words. Never Ray, torch or a plot."""

from study.analysis.comparison import interquartile_means, paired_comparisons
from study.analysis.curves import axes_of, baseline_accuracy, best_of_each_cell, depth_curve, paired_difference
from study.analysis.outcomes import training_outcomes
from study.analysis.sentence import answer
from study.analysis.trainability import loss_fits, trainability_limits

__all__ = [
    "answer",
    "axes_of",
    "baseline_accuracy",
    "best_of_each_cell",
    "depth_curve",
    "interquartile_means",
    "loss_fits",
    "paired_comparisons",
    "paired_difference",
    "trainability_limits",
    "training_outcomes",
]
