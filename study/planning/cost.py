"""What a trial computes, so that trials of different nets can be compared before any has run."""

from study.config import TrialConfig
from study.datasets import find_dataset

STEM_MACS = 443_008  # multiply-adds of one 32x32 image at width 16: stem and head,
LAYER_MACS = 2_359_296  # and each later convolution
IMAGENET_MACS = {18: 1.8e9, 34: 3.6e9, 50: 3.8e9, 101: 7.6e9}  # of one 224x224 image at width 64; He et al. 2016


def multiply_adds(config: TrialConfig) -> float:
    """Count the multiply-adds of a whole trial's forward passes, roughly.

    Raises:
        ValueError: a batch is larger than the data set.
    """
    dataset = find_dataset(config.dataset)
    images, size = config.train_images or dataset.train_images, config.image_size or dataset.image_size
    if config.batch_size > images:
        raise ValueError(f"batch_size = {config.batch_size}: {config.proxy.name} has {images} training images")
    if config.network_size == "imagenet":
        per_image = IMAGENET_MACS[config.depth] * (size / 224) ** 2 * (config.width / 64) ** 2
    else:
        layers = STEM_MACS + (config.depth - 3) * LAYER_MACS
        per_image = layers * (size / 32) ** 2 * (config.width / 16) ** 2
    return per_image * config.batch_size * config.total_steps(dataset.train_images)
