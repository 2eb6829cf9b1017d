"""What tests of pages share."""

from collections.abc import Iterator

import pytest

from study.analysis import importance, search_table
from study.bench.tables import GeneratedRun
from study.report.opened_run import OpenedRun, open_run
from study.store.storage import Storage


@pytest.fixture(autouse=True, scope="module")
def quick_importances() -> Iterator[None]:
    """Draw importances in a twentieth of their time: what they say is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_table, "TREES", 2)
        patch.setattr(importance, "RESAMPLES", 3)
        patch.setattr(importance, "DEALS", 19)
        yield


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> OpenedRun:
    """Too few search trials for importances, which take most of a page's time."""
    storage = Storage.at(tmp_path_factory.mktemp("small"))
    GeneratedRun(depths=(8, 110), searches=1).write(storage)
    return open_run(storage)
