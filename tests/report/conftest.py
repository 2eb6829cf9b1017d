"""What tests of pages share."""

from collections.abc import Iterator

import pytest

from study.analysis import importance, search_table


@pytest.fixture(autouse=True, scope="module")
def quick_importances() -> Iterator[None]:
    """Draw importances in a twentieth of their time: what they say is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_table, "TREES", 2)
        patch.setattr(importance, "RESAMPLES", 3)
        patch.setattr(importance, "DEALS", 19)
        yield
