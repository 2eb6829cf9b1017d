"""The baselines: accurate, chosen on validation alone, deterministic, bounded and silent."""

from dataclasses import replace

import numpy as np
import pytest

from study.datasets import ImageData, baseline, load_dataset
from study.datasets.baseline import linear_baseline, nearest_neighbor_baseline
from study.datasets.readers import ImageSplit


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits")


def noise(count: int, classes: int = 3) -> ImageSplit:
    generator = np.random.default_rng(count)
    return ImageSplit(generator.integers(0, 256, (count, 3, 4, 4), dtype=np.uint8), np.arange(count) % classes)


def noise_data() -> ImageData:
    return ImageData("noise", 3, noise(300), noise(60), noise(61), (0.5,) * 3, (0.3,) * 3, mirror_keeps_class=True)


def test_digits_are_nearly_linear(digits: ImageData) -> None:
    scores = linear_baseline(digits)
    assert 0.94 <= scores["test_accuracy"] <= 1.0
    assert 0.94 <= scores["validation_accuracy"] <= 1.0
    assert scores["inverse_regularization"] in baseline.INVERSE_REGULARIZATIONS
    assert scores["train_images"] == len(digits.train.labels)


def test_noise_stays_at_chance() -> None:
    assert linear_baseline(noise_data())["test_accuracy"] == pytest.approx(1 / 3, abs=0.2)


def test_two_fits_agree(digits: ImageData) -> None:
    assert linear_baseline(digits) == linear_baseline(digits)


def test_test_images_choose_nothing(digits: ImageData) -> None:
    """With other test labels only the test accuracy is another."""
    wrong = ImageSplit(digits.test.images, (digits.test.labels + 1) % 10)
    honest, misled = linear_baseline(digits), linear_baseline(replace(digits, test=wrong))
    assert misled.pop("test_accuracy") < 0.1 < honest.pop("test_accuracy")
    assert misled == honest


def test_the_best_on_validation_is_taken(digits: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    best = linear_baseline(digits)
    for inverse in baseline.INVERSE_REGULARIZATIONS:
        monkeypatch.setattr(baseline, "INVERSE_REGULARIZATIONS", (inverse,))
        assert linear_baseline(digits)["validation_accuracy"] <= best["validation_accuracy"]


def test_a_large_set_is_fitted_on_a_stratified_part(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted_labels = []
    fit = baseline._fitted
    monkeypatch.setattr(baseline, "FIT_PIXELS", 90 * 48)
    monkeypatch.setattr(baseline, "_fitted", lambda *given: fitted_labels.append(given[1]) or fit(*given))
    assert linear_baseline(noise_data())["train_images"] == 90
    assert np.bincount(fitted_labels[0]).tolist() == [30, 30, 30]


def test_unfinished_fits_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings are errors in the tests."""
    monkeypatch.setattr(baseline, "MAX_ITERATIONS", 1)
    linear_baseline(noise_data())


def test_digits_look_like_their_nearest_neighbours(digits: ImageData) -> None:
    """Exact, for nothing is fitted: 266 of 270 and 267 of 270."""
    expected = {"validation_accuracy": 266 / 270, "test_accuracy": 267 / 270, "train_images": 1_257}
    assert nearest_neighbor_baseline(digits) == expected


def test_the_nearest_neighbour_is_that_of_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = noise_data()
    monkeypatch.setattr(baseline, "NEIGHBOR_IMAGES", 90)
    scores = nearest_neighbor_baseline(data)
    assert scores["train_images"] == 90
    part = baseline._at_most(data.train, 90)
    assert np.bincount(part.labels).tolist() == [30, 30, 30]
    seen, known = (split.images.reshape(len(split.labels), -1).astype(float) for split in (data.test, part))
    nearest = np.square(seen[:, np.newaxis] - known).sum(axis=2).argmin(axis=1)
    assert scores["test_accuracy"] == np.mean(part.labels[nearest] == data.test.labels)
