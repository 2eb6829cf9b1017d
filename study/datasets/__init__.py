"""The data sets of the study: which there are, whether they are here, and how they come as arrays.

`python -m study.datasets` lists them and `python -m study.datasets fetch NAME` brings one (`study.datasets.__main__`).
A set is held whole as uint8, or, where it is too large for that, by the names of its images
(`study.datasets.image_folder`). Never imports Ray; only `fetch` uses the network.
"""

from study.datasets.image_folder import StreamedData
from study.datasets.loading import AnyData, ImageData, MissingDataset, channel_moments, load_dataset, missing_message
from study.datasets.readers import ImageSplit
from study.datasets.table import DATASETS, Dataset, find_dataset, resolve_data_dir

__all__ = [
    "DATASETS",
    "AnyData",
    "Dataset",
    "ImageData",
    "ImageSplit",
    "MissingDataset",
    "StreamedData",
    "channel_moments",
    "find_dataset",
    "load_dataset",
    "missing_message",
    "resolve_data_dir",
]
