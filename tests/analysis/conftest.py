"""The table that most tests of statistics begin with."""

import pandas as pd
import pytest
from confirmed_tables import confirm, search, table


@pytest.fixture
def trials() -> pd.DataFrame:
    """Two depths, four recipes: at 110 isometric and residual train, he_l2 does not, orthonormal diverges."""
    return table(
        confirm(8, "he_l2", [0.94, 0.95, 0.96]),
        confirm(8, "residual", [0.95, 0.95, 0.97]),
        confirm(110, "he_l2", [0.09, 0.11, None]),
        confirm(110, "isometric", [0.95, 0.96, 0.97]),
        confirm(110, "orthonormal", [None, None, None]),
        confirm(110, "residual", [0.94, 0.96, 0.97]),
        search(110, "orthonormal", [None, 0.3]),
    )
