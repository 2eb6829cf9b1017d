"""What the images leave open: an accuracy on a few hundred of them is known to a few points. Never Ray or torch.

Intervals over seeds cannot show it, because all seeds answer the same images.
"""

import math
from collections.abc import Iterable, Sequence

from study.analysis.scores import METRICS, NORMAL_QUANTILE
from study.datasets.table import DATASETS

ENOUGH_IMAGES = 2_000  # Two accuracies of .97 then differ by .005 (one standard error) for their images alone, or less.


def images_behind(datasets: Iterable[str], metric: str) -> float:
    """The images that `metric` is measured on, of the smallest of these sets; NaN where the table cannot know it.

    A user's own images have their own numbers, and a set that is not in the table has unknown ones.
    """
    found = [DATASETS.get(name) for name in datasets]
    counts = [getattr(one, METRICS[metric].images) for one in found if one is not None and not one.is_own]
    return float(min(counts)) if counts and len(counts) == len(found) else math.nan


def image_error(accuracies: Sequence[float], images: float) -> float:
    """Half the width of the 95 % interval that `images` leave to one accuracy, or to the difference of several.

    z sqrt(sum p(1 - p) / images), binomial. Sides that answer the same images err together, so that their difference is
    known somewhat better than this.
    """
    return NORMAL_QUANTILE * math.sqrt(sum(p * (1.0 - p) for p in accuracies) / images)
