"""Arrays of the user's: every form that is read is the same set, and what cannot be told is refused by name."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.config import Proxy, TrialConfig
from study.datasets import ImageData, load_dataset
from study.datasets.__main__ import main
from study.datasets.baseline import BASELINES
from study.datasets.own_arrays import own_splits
from study.run import main as run
from study.trainer import train
from study.training.proxies import check_proxy

NAMES = np.array(["cat", "dog", "emu"])
Arrays = dict[str, np.ndarray]


def arrays(size: tuple[int, int] = (12, 10), images: int = 60) -> Arrays:
    """Noise with a dark band where the class says, equally many a class; NHWC."""
    generator = np.random.default_rng(0)
    made = {}
    for split, count in {"train": images, "test": 12}.items():
        labels = np.arange(count) % 3
        pixels = generator.integers(100, 256, (count, *size, 3), dtype=np.uint8)
        for image, label in zip(pixels, labels, strict=True):
            image[4 * label : 4 * label + 4] //= 4
        made |= {f"X_{split}": pixels, f"y_{split}": NAMES[labels]}
    return made


def saved(folder: Path, content: Arrays, name: str = "mine.npz") -> Path:
    np.savez(folder / name, **content)
    return folder / name


def loaded(folder: Path, content: Arrays) -> ImageData:
    data = load_dataset("npz", saved(folder, content))
    assert isinstance(data, ImageData)
    return data


def on_images(content: Arrays, change: Any) -> Arrays:
    return {name: change(array) if name.startswith("X") else array for name, array in content.items()}


def on_labels(content: Arrays, change: Any) -> Arrays:
    return {name: change(array) if name.startswith("y") else array for name, array in content.items()}


def test_sizes_classes_and_splits_are_read_from_the_arrays(tmp_path: Path) -> None:
    data = loaded(tmp_path, arrays())
    assert (data.image_shape, data.num_classes, data.fingerprint["class_names"]) == ((3, 12, 10), 3, list(NAMES))
    counts = [np.bincount(split.labels).tolist() for split in (data.train, data.validation, data.test)]
    assert counts == [[18] * 3, [2] * 3, [4] * 3]
    assert np.array_equal(data.test.images, arrays()["X_test"].transpose(0, 3, 1, 2))
    assert data.summary == "npz: 3 classes; 54 training, 6 validation and 12 test images of 3x12x10"


@pytest.mark.parametrize(
    "change",
    [
        lambda content: on_images(content, lambda images: images.transpose(0, 3, 1, 2)),
        lambda content: on_images(content, lambda images: images.astype(np.float64)),
        lambda content: on_images(content, lambda images: (images / 255).astype(np.float32)),
        lambda content: on_labels(content, lambda labels: labels.astype("S")),
        lambda content: on_labels(content, lambda labels: labels[:, np.newaxis]),
    ],
    ids=["channels first", "whole floats", "floats to 1", "byte strings", "a column of labels"],
)
def test_every_form_of_the_same_images_is_the_same_set(change: Any, tmp_path: Path) -> None:
    assert loaded(tmp_path, change(arrays())).fingerprint == loaded(tmp_path, arrays()).fingerprint


def test_greyscale_without_an_axis_of_channels_has_one(tmp_path: Path) -> None:
    grey = on_images(arrays(), lambda images: images[..., 0])
    assert loaded(tmp_path, grey).image_shape == (1, 12, 10)
    assert loaded(tmp_path, on_images(grey, lambda images: images[:, np.newaxis])).image_shape == (1, 12, 10)


def test_integer_labels_of_any_values_become_places(tmp_path: Path) -> None:
    values = np.array([70, -3, 12])
    data = loaded(tmp_path, on_labels(arrays(), lambda labels: values[np.searchsorted(NAMES, labels)]))
    assert data.fingerprint["class_names"] == ["-3", "12", "70"]
    assert data.test.labels.tolist() == [2, 0, 1] * 4


def test_validation_images_that_are_given_are_taken_as_they_are(tmp_path: Path) -> None:
    content = arrays()
    data = loaded(tmp_path, content | {"X_val": content["X_test"][:6], "y_val": content["y_test"][:6]})
    assert (len(data.train.labels), len(data.validation.labels)) == (60, 6)
    assert np.array_equal(data.validation.images, data.test.images[:6])


def replaced(name: str, change: Any) -> Any:
    return lambda content: content | {name: change(content[name])}


def without(name: str) -> Any:
    return lambda content: {key: array for key, array in content.items() if key != name}


def with_nan(images: np.ndarray) -> np.ndarray:
    images = images / 255
    images[3, 2, 1, 0] = np.nan
    return images


REFUSED = {
    "both ends may be channels": (
        lambda content: on_images(content, lambda images: images[:, :3, :3]),
        "X_train has the shape (60, 3, 3, 3), of which axis 2 or 4 holds the channels",
    ),
    "more channels than pixels": (
        lambda content: on_images(content, lambda images: np.repeat(images, 5, axis=3)),
        "X_train has the shape (60, 12, 10, 15), of which",
    ),
    "flat": (
        lambda content: on_images(content, lambda images: images.reshape(len(images), -1)),
        "X_train has the shap",
    ),
    "tiny": (
        lambda content: on_images(content, lambda images: images[:, :2, :, :1]),
        "X_train has images of 2x10: give 4",
    ),
    "NaN": (lambda content: on_images(content, with_nan), "X_train holds NaN or infinity in 1 places"),
    "normalised": (
        lambda content: on_images(content, lambda images: images / 255 - 0.5),
        "X_train holds floats from -0.401961 to 0.5: give floats from 0 to 1, or whole numbers from 0 to 255",
    ),
    "neither range": (
        lambda content: on_images(content, lambda images: images / 100),
        "X_train holds floats from 0.25",
    ),
    "integers": (replaced("X_test", lambda images: images.astype(np.int64)), "X_test is of int64: give uint8"),
    "two types": (replaced("X_test", lambda images: images / 255), "X_train and X_test must be alike"),
    "two sizes": (replaced("X_test", lambda images: images[:, :8]), "X_train and X_test must be alike"),
    "objects": (replaced("y_train", lambda labels: labels.astype(object)), "y_train cannot be read: Object arrays"),
    "object images": (
        replaced("X_train", lambda images: images.astype(object)),
        "X_train cannot be read: Object arrays",
    ),
    "lengths": (replaced("y_train", lambda labels: labels[:-1]), "X_train has 60 images and y_train 59 labels"),
    "float labels": (replaced("y_test", lambda labels: np.zeros(12)), "y_test is of float64: give integers or strings"),
    "one-hot": (replaced("y_test", lambda labels: np.eye(12, dtype=int)), "y_test has the shape (12, 12)"),
    "kinds of labels": (replaced("y_test", lambda labels: np.zeros(12, int)), "y_test is of int64 and y_train of <U3"),
    "one class": (
        lambda content: on_labels(content, lambda labels: np.full_like(labels, "cat")),
        "y_train has one class, cat",
    ),
    "a class of one": (
        replaced("y_train", lambda labels: np.array(["yak", *labels[1:]])),
        "y_train has one image of yak: give 2, or X_val and y_val",
    ),
    "a new class in test": (
        replaced("y_test", lambda labels: np.array(["yak", *labels[1:]])),
        "y_test has a class that y_train lacks: yak",
    ),
    "missing": (without("y_test"), "y_test is missing: it must hold X_train, y_train, X_test, y_test"),
    "half of validation": (lambda content: content | {"X_val": content["X_test"]}, "y_val is missing"),
    "a constant channel": (
        lambda content: on_images(content, lambda images: np.concatenate([images, 0 * images[..., :1] + 255], axis=3)),
        "X_train has one value in all of channel 4",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_a_line_with_file_and_array(case: str, tmp_path: Path) -> None:
    change, message = REFUSED[case]
    file = saved(tmp_path, change(arrays()))
    with pytest.raises(ValueError, match="^" + re.escape(f"dataset = 'npz' in {file}: {message}")) as caught:
        load_dataset("npz", file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text"], ids=["empty", "broken", "text"])
def test_a_file_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"mine\.npz: it is no \.npz file: [^\n]+$"):
        load_dataset("npz", tmp_path)


def test_a_file_of_one_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "mine.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match="one array without a name"):
        load_dataset("npz", tmp_path)


def test_a_folder_is_looked_through_for_the_only_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["depth_sweep", "--dataset", "npz", "--data-dir", str(tmp_path), "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert f"dataset = 'npz' is not in {tmp_path}/*.npz: let --data-dir name a .npz file" in said
    saved(tmp_path, arrays())
    assert load_dataset("npz", tmp_path).num_classes == 3
    saved(tmp_path, arrays(), "other.npz")
    with pytest.raises(ValueError, match=r"holds mine\.npz, other\.npz$"):
        load_dataset("npz", tmp_path)


def test_a_check_says_what_is_read_and_finds_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = arrays()
    content["X_test"][:2] = content["X_train"][[0, 4]]
    assert main(["check", str(saved(tmp_path, content))]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [loaded(tmp_path, content).summary, "2 images also in another split"]
    assert main(["check", str(saved(tmp_path, without("y_test")(content)))]) == 2
    assert "y_test is missing" in capsys.readouterr().err


def test_images_that_are_not_square_are_trained_on_augmented_diagnosed_and_have_baselines(tmp_path: Path) -> None:
    data = loaded(tmp_path, arrays())
    config = TrialConfig(dataset="npz", depth=8, width=4, batch_size=18, epochs=1, augmentation="standard")
    (record,) = train(config, data, evaluate_test=True)
    assert record.test_accuracy is not None
    assert [row["dead_fraction"] is not None for row in record.layers] == [True] * 7
    assert BASELINES["linear_baseline"](data)["test_accuracy"] == 1.0
    with pytest.raises(ValueError, match="image_size = 8: npz has images of 12x10, not square"):
        check_proxy(data, Proxy("npz", image_size=8))


def test_a_batch_larger_than_the_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--dataset", "npz", "--data-dir", str(saved(tmp_path, arrays())), "--set", "depth=8", "--dry-run"]
    assert run(["depth_sweep", *words]) == 2
    assert "batch_size = 64: npz has 54 training images" in capsys.readouterr().err


def test_the_order_of_the_four_is_that_of_a_tuple() -> None:
    from study.datasets.own_arrays import OwnArrays

    four = tuple(arrays().values())
    read = OwnArrays(lambda: four).read(Path("nowhere"))
    assert np.array_equal(read.test.images, own_splits(arrays()).test.images)
    for given, message in [((1, 2), "give a tuple"), ({"x": 1}, "unknown array x"), (None, "give a tuple")]:
        with pytest.raises(ValueError, match=message):
            OwnArrays(lambda given=given: given).read(Path("nowhere"))
