"""Two baselines on the raw pixels of the same splits: logistic regression and the nearest neighbour.

A net that does not beat the linear one has not shown that its depth is used, and one that does not beat the nearest
neighbour has not shown that it learns more than the training images by heart. Deterministic, on one thread; never
imports torch.
"""

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from study.datasets import AnyData, ImageData, ImageSplit
from study.datasets.image_folder import PathSplit
from study.datasets.image_views import (
    SHOWN_FAULTS,
    DamagedImage,
    allow_pixels,
    evaluation_view,
    faults_told,
    read_image,
)
from study.datasets.splits import stratified_split

INVERSE_REGULARIZATIONS = (
    0.01,
    0.1,
    1.0,
    10.0,
)  # scikit-learn's C; on digits and Fashion-MNIST nearly flat from 0.1 on
MAX_ITERATIONS = 100  # of L-BFGS; twice as many do not raise Fashion-MNIST's best validation accuracy, 0.850
STREAMED_IMAGES = 10_000  # of each split; about one minute of decoding, and three of fitting at 1,000 classes
STREAMED_SIZE = 16  # pixels a side of a thumbnail: few enough that ten images a class can say something
FIT_PIXELS = 45_000_000  # bounds the time: all of digits and Fashion-MNIST, a stratified 14,648 images of a colour set


NEIGHBOR_IMAGES = 10_000  # of the train images at most: of SVHN's 31,032 others each takes one ms to look up

Scores = dict[str, float]


def linear_baseline(data: ImageData) -> Scores:
    """Accuracies of multinomial logistic regression on pixels in [0, 1], its C chosen on validation.

    Fitted on the train images, or on a stratified part of them where they hold more than FIT_PIXELS values;
    L-BFGS, at most MAX_ITERATIONS. Ties go to the stronger regularisation.

    Returns:
        validation_accuracy and test_accuracy, fractions; inverse_regularization, the chosen C; train_images, the
        number of images that it was fitted on.
    """
    part = _at_most(data.train, FIT_PIXELS // data.train.images[0].size)
    pixels = _pixels(part)
    with threadpool_limits(limits=1):  # beside busy cores more threads are slower, and their number changes the sums
        models = [_fitted(pixels, part.labels, inverse) for inverse in INVERSE_REGULARIZATIONS]
        scores = [_accuracy(model, data.validation) for model in models]
        best = int(np.argmax(scores))
        return {
            "validation_accuracy": scores[best],
            "test_accuracy": _accuracy(models[best], data.test),
            "inverse_regularization": INVERSE_REGULARIZATIONS[best],
            "train_images": len(part.labels),
        }


def nearest_neighbor_baseline(data: ImageData) -> Scores:
    """Accuracies of the class of the nearest train image, by Euclidean distance between pixels in [0, 1].

    Among the train images, or a stratified NEIGHBOR_IMAGES of them.

    Returns:
        validation_accuracy and test_accuracy, fractions; train_images, the number of images looked among.
    """
    part = _at_most(data.train, NEIGHBOR_IMAGES)
    with threadpool_limits(limits=1):
        model = KNeighborsClassifier(n_neighbors=1, algorithm="brute").fit(_pixels(part), part.labels)
        return {
            "validation_accuracy": _accuracy(model, data.validation),
            "test_accuracy": _accuracy(model, data.test),
            "train_images": len(part.labels),
        }


BASELINES: dict[str, Callable[[ImageData], Scores]] = {
    "linear_baseline": linear_baseline,
    "nearest_neighbor_baseline": nearest_neighbor_baseline,
}
"""Key of run.json to what computes it."""


def held_images(data: AnyData) -> ImageData:
    """What the baselines see: a held set as it is, of a streamed one thumbnails.

    Each split is then replaced by a stratified STREAMED_IMAGES of its images, seen as in evaluation at STREAMED_SIZE,
    or at the trials' size where that is smaller, so the test accuracy too is an estimate from these.

    Raises:
        ValueError: images are damaged; the message names the first SHOWN_FAULTS of those that were looked at.
    """
    if isinstance(data, ImageData):
        return data
    allow_pixels(data.most_pixels)
    size, faults = min(STREAMED_SIZE, data.image_size), list[DamagedImage]()
    train, validation, test = (_thumbnails(split, size, faults) for split in (data.train, data.validation, data.test))
    if faults:
        raise ValueError(f"{faults_told(faults)}; `python -m study.datasets check` reads all")
    return ImageData(data.name, data.num_classes, train, validation, test, data.mean, data.std, data.mirror_keeps_class)


def _thumbnails(split: PathSplit, size: int, faults: list[DamagedImage]) -> ImageSplit:
    """A part of the split; what is damaged is added to the faults, and enough of them end the reading."""
    _, rows = stratified_split(split.labels, STREAMED_IMAGES)
    views = []
    for row in rows.tolist():
        try:
            views.append(evaluation_view(read_image(split.path(row)), size))
        except DamagedImage as fault:
            faults.append(fault)
        if len(faults) >= SHOWN_FAULTS:
            break
    images = np.array(views, dtype=np.uint8).reshape(-1, size, size, 3)
    return ImageSplit(images.transpose(0, 3, 1, 2), split.labels[rows])


def _at_most(train: ImageSplit, count: int) -> ImageSplit:
    """The split, or a stratified part of it."""
    if len(train.labels) <= count:
        return train
    _, rows = stratified_split(train.labels, count)
    return train.take(rows)


def _pixels(split: ImageSplit) -> NDArray[np.float32]:
    """(N, C*H*W) in [0, 1]; float32 halves time and memory."""
    return split.images.reshape(len(split.images), -1).astype(np.float32) / np.float32(255)


def _fitted(
    pixels: NDArray[np.float32], labels: NDArray[np.int64], inverse_regularization: float
) -> LogisticRegression:
    model = LogisticRegression(C=inverse_regularization, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the bound on iterations is meant
        return model.fit(pixels, labels)


def _accuracy(model: LogisticRegression | KNeighborsClassifier, split: ImageSplit) -> float:
    return float(model.score(_pixels(split), split.labels))
