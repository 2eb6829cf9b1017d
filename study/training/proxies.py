"""Cheap stand-ins for a data set: a fixed part of its training images, or all images averaged to a smaller side."""

from dataclasses import replace
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from study.config import Proxy
from study.datasets import AnyData, ImageData, ImageSplit, StreamedData, channel_moments
from study.datasets.splits import stratified_split

AVERAGED_AT_ONCE = 1_024  # images as float32: 13 MB of 32x32 colour images, little beside any net


def check_proxy(data: AnyData, proxy: Proxy, batch_size: int = 2) -> None:
    """Refuse a proxy that cannot be made of the set, or of a held one with fewer training images than a batch.

    Raises:
        ValueError: with the field, its value and the allowed range.
    """
    _, height, width = data.image_shape
    if proxy.image_size is not None and height != width:
        raise ValueError(f"image_size = {proxy.image_size}: {data.name} has images of {height}x{width}, not square")
    if proxy.image_size is not None and proxy.image_size > height:
        raise ValueError(f"image_size = {proxy.image_size}: {data.name} allows 4 to {height}, its own size")
    least, most = data.num_classes, len(data.train.labels)  # `stratified_split` takes one of each class first
    if proxy.train_images is not None and not least <= proxy.train_images <= most:
        raise ValueError(
            f"train_images = {proxy.train_images}: {data.name} allows {least} (so that each of its {data.num_classes} "
            f"classes has one) to {most}, its training split"
        )
    if isinstance(data, ImageData) and batch_size > (proxy.train_images or most):
        raise ValueError(f"batch_size = {batch_size}: {proxy.name} has {proxy.train_images or most} training images")


def proxied(data: AnyData, proxy: Proxy, device: torch.device) -> AnyData:
    """The set as a trial sees it: the set itself where the proxy changes nothing.

    Training images are a stratified part that depends on the set and the count alone; smaller parts lie in larger ones.
    Images of a held set are averaged here, those of a streamed one are cut to size when they are read. Mean and
    standard deviation of a held set are those of the images that are trained on.

    Args:
        data: the whole set.
        proxy: what is wanted of it.
        device: where images are averaged.

    Raises:
        ValueError: the set does not allow it (`check_proxy`).
    """
    check_proxy(data, proxy)
    if proxy.image_size is None and proxy.train_images is None:
        return data
    if isinstance(data, StreamedData):
        size = proxy.image_size or data.image_size
        return replace(data, train=data.train.take(_rows(data, proxy)), image_size=size)
    train, validation, test = (
        _averaged(split, proxy.image_size, device)
        for split in (data.train.take(_rows(data, proxy)), data.validation, data.test)
    )
    mean, std = channel_moments(train)
    return replace(data, train=train, validation=validation, test=test, mean=mean, std=std)


def proxy_shape(data: AnyData, proxy: Proxy) -> tuple[int, int, int]:
    """Channels, height and width of an image as a trial sees it, told without averaging any."""
    channels, height, width = data.image_shape
    return channels, proxy.image_size or height, proxy.image_size or width


def proxy_bytes(data: AnyData, proxy: Proxy) -> int:
    """Memory that a trial holds for the set, told without averaging any image."""
    if isinstance(data, StreamedData):
        return data.held_bytes
    train_images = proxy.train_images or len(data.train.labels)
    return (train_images + len(data.validation.labels) + len(data.test.labels)) * prod(proxy_shape(data, proxy))


def area_averaged(images: NDArray[np.uint8], size: int, device: torch.device) -> NDArray[np.uint8]:
    """Means over areas, (N, C, H, W) to (N, C, size, size), rounded half to even.

    Row i is the mean of rows floor(i H / size) to ceil((i + 1) H / size) - 1, columns alike, as torch's `area`
    interpolation has it: neighbours share a row where `size` does not divide H.
    """
    parts = []
    for start in range(0, len(images), AVERAGED_AT_ONCE):
        # A copy: arrays mapped from the object store are read-only, which torch does not support.
        part = torch.tensor(images[start : start + AVERAGED_AT_ONCE], device=device)
        parts.append(functional.adaptive_avg_pool2d(part.float(), size).round().to(torch.uint8).cpu().numpy())
    return np.concatenate(parts)


def _averaged(split: ImageSplit, size: int | None, device: torch.device) -> ImageSplit:
    return split if size is None else ImageSplit(area_averaged(split.images, size, device), split.labels)


def _rows(data: AnyData, proxy: Proxy) -> NDArray[np.int64]:
    """Rows of the training images that are trained on, ascending."""
    labels = data.train.labels
    return stratified_split(labels, proxy.train_images or len(labels))[1]
