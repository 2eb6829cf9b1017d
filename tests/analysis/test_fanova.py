"""Our functional ANOVA and PED-ANOVA against Optuna's, and against variances known by hand."""

import warnings

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

from study.analysis.fanova import main_effects
from study.analysis.ped_anova import best_tenth_effects

SIZE = 60
NAMES = "abcde"


def study_of(points: np.ndarray, scores: np.ndarray, names: np.ndarray | None = None) -> optuna.Study:
    """The same trials for Optuna; `names` are numbers of NAMES."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space: dict[str, BaseDistribution] = {f"x{k}": FloatDistribution(0, 1) for k in range(points.shape[1])}
    rows = [{f"x{k}": float(value) for k, value in enumerate(row)} for row in points]
    if names is not None:
        space["name"] = CategoricalDistribution(tuple(NAMES))
        rows = [row | {"name": NAMES[name]} for row, name in zip(rows, names, strict=True)]
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.create_trial(value=float(score), params=row, distributions=space)
            for row, score in zip(rows, scores, strict=True)
        ]
    )
    return study


def drawn(fields: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    points = generator.random((SIZE, fields))
    return points, np.sin(3 * points[:, 0]) * (1 + points[:, 1]) + 0.1 * generator.normal(size=SIZE)


@pytest.mark.parametrize("fields", [2, 4])
def test_main_effects_are_optunas(fields: int) -> None:
    """Of equal forests all digits agree; Optuna takes 30 to 60 times as long."""
    points, scores = drawn(fields, fields)
    found = FanovaImportanceEvaluator(n_trees=8, seed=3).evaluate(study_of(points, scores))
    effects, whole = main_effects(points, scores, trees=8, seed=3)
    assert (effects / whole[:, None]).mean(axis=0) == pytest.approx([found[f"x{k}"] for k in range(fields)], abs=1e-9)


def test_a_choice_ordered_by_its_means_has_about_optunas_effect() -> None:
    """Optuna gives each choice a column of its own, and with it points at which two choices or none hold: within .1."""
    points, scores = drawn(2, 5)
    names = np.random.default_rng(5).integers(len(NAMES), size=SIZE)
    scores = scores + 0.5 * names
    found = FanovaImportanceEvaluator(n_trees=8, seed=3).evaluate(study_of(points, scores, names))
    effects, whole = main_effects(np.column_stack([points, (names + 0.5) / len(NAMES)]), scores, trees=8, seed=3)
    ours = (effects / whole[:, None]).mean(axis=0)
    assert ours == pytest.approx([found[name] for name in ("x0", "x1", "name")], abs=0.1)


def test_main_effects_are_variances() -> None:
    """Of a + b/2 on a grid of the square: 1/12 and 1/48, and nothing of it between the two."""
    axis = (np.arange(32) + 0.5) / 32
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    effects, whole = main_effects(points, points @ [1.0, 0.5], trees=4, seed=0)
    assert effects.mean(axis=0) == pytest.approx([1 / 12, 1 / 48], rel=0.02)
    assert (effects.sum(axis=1) / whole).min() > 0.99


@pytest.mark.parametrize("size", [15, 60])
def test_best_tenth_effects_stand_to_each_other_as_optunas(size: int) -> None:
    points, scores = drawn(3, 1)
    points, scores = points[:size], np.round(scores[:size], 1)  # ties at the edge of the tenth
    names = np.random.default_rng(1).integers(len(NAMES), size=size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        theirs = PedAnovaImportanceEvaluator().evaluate(study_of(points, scores, names))
    table = np.column_stack([points, (names + 0.5) / len(NAMES)])
    ours = best_tenth_effects(table, [0, 0, 0, len(NAMES)], scores)
    expected = np.array([theirs[name] for name in ("x0", "x1", "x2", "name")])
    assert ours / ours.sum() == pytest.approx(expected / expected.sum(), abs=1e-6)


def test_a_name_that_the_best_tenth_shares_explains_more_than_one_that_it_does_not() -> None:
    """Only .13 of it: Optuna's density of a choice gives the other values a fifth, whatever the trials say."""
    best = np.arange(200) < 20
    table = np.column_stack([(np.where(best, 0, 1) + 0.5) / 2, (np.arange(200) % 2 + 0.5) / 2])
    decides, does_not = best_tenth_effects(table, [2, 2], best.astype(float))
    assert decides == pytest.approx(0.13, abs=0.01)
    assert does_not < 0.01
