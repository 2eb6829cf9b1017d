"""What tests of pages share."""

from collections.abc import Iterator

import pytest

from study.analysis import importance, search_table


@pytest.fixture(autouse=True, scope="package")
def quick_importances() -> Iterator[None]:
    """Importances are tested by themselves; here they are a block of the page like others, at a twentieth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_table, "TREES", 2)
        patch.setattr(importance, "RESAMPLES", 3)
        patch.setattr(importance, "DEALS", 19)
        yield
