"""Functional ANOVA by a random forest: how much of the variance over the whole space each field explains by itself.

Hutter, Hoos and Leyton-Brown 2014, "An Efficient Approach for Assessing Hyperparameter Importance". A tree is constant
on the box of each of its leaves, so that its marginals are exact sums over boxes. Main effects alone, and all trees of
a forest in one pass: a null needs hundreds of forests, and Optuna's evaluator, whose numbers these are on numeric
fields, takes up to a second for one, and 2^n steps for a choice of n values. Arrays in, arrays out.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor

Array = npt.NDArray[np.floating[Any]]

DEEPEST = 64  # levels of a tree, as in Optuna


def main_effects(points: Array, scores: Array, *, trees: int, seed: int, leaf: int = 1) -> tuple[Array, Array]:
    """Variance over the unit cube that each field explains alone, and the whole variance: (trees, d) and (trees,).

    Args:
        points: (n, d) trials, in [0, 1] along every field: equal lengths there are equally likely.
        scores: (n,) accuracies.
        trees: of the forest.
        seed: of the forest.
        leaf: the least number of trials in a leaf; 1, as in Optuna's, fits every trial, its noise included.
    """
    forest = RandomForestRegressor(n_estimators=trees, max_depth=DEEPEST, min_samples_leaf=leaf, random_state=seed)
    leaves = _leaves(forest.fit(points, scores), points.shape[1])
    volumes = np.prod(leaves.highs - leaves.lows, axis=1)
    means: Array = np.bincount(leaves.trees, volumes * leaves.values, trees).astype(np.float64)
    whole = np.bincount(leaves.trees, volumes * (leaves.values - means[leaves.trees]) ** 2, trees)
    effects = [_variance_along(field, leaves, volumes, means) for field in range(points.shape[1])]
    return np.column_stack(effects), whole.astype(np.float64)


class _Leaves(NamedTuple):
    """Every leaf of a forest: the number of its tree, its box (leaves, d) and its value."""

    trees: npt.NDArray[np.intp]
    lows: Array
    highs: Array
    values: Array


def _leaves(forest: RandomForestRegressor, fields: int) -> _Leaves:
    """The boxes of all leaves, level by level from the roots."""
    trees = [tree.tree_ for tree in forest.estimators_]
    sizes = np.array([tree.node_count for tree in trees])
    first = np.cumsum(sizes) - sizes
    left, right = (
        np.concatenate([getattr(tree, side) + start for tree, start in zip(trees, first, strict=True)])
        for side in ("children_left", "children_right")
    )
    feature, threshold = (np.concatenate([getattr(tree, name) for tree in trees]) for name in ("feature", "threshold"))
    lows, highs = np.zeros((sizes.sum(), fields)), np.ones((sizes.sum(), fields))
    level = first[feature[first] >= 0]
    while len(level):
        for child in (left[level], right[level]):
            lows[child], highs[child] = lows[level], highs[level]
        highs[left[level], feature[level]] = lows[right[level], feature[level]] = threshold[level]
        level = np.concatenate([left[level], right[level]])
        level = level[feature[level] >= 0]
    ends = feature < 0
    values = np.concatenate([tree.value[:, 0, 0] for tree in trees])
    return _Leaves(np.repeat(np.arange(len(trees)), sizes)[ends], lows[ends], highs[ends], values[ends])


def _variance_along(field: int, leaves: _Leaves, volumes: Array, means: Array) -> Array:
    """Variance of each tree's marginal along a field: (trees,).

    A leaf adds value * volume / length to the marginal over its interval. The trees stand one after the other on one
    line, tree t on [t, t + 1], so that a single sorted sum makes all marginals.
    """
    low, high = leaves.lows[:, field], leaves.highs[:, field]
    heights = leaves.values * volumes / (high - low)
    ends = np.concatenate([low + leaves.trees, high + leaves.trees])
    order = np.argsort(ends)
    marginal = np.cumsum(np.concatenate([heights, -heights])[order])[:-1]
    starts, lengths = ends[order][:-1], np.diff(ends[order])
    met = lengths > 0  # where trees and leaves touch, ends coincide
    tree = starts[met].astype(np.intp)
    return np.bincount(tree, lengths[met] * (marginal[met] - means[tree]) ** 2, len(means)).astype(np.float64)
