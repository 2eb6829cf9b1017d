"""How the lines of a run look, in plotly charts and in matplotlib figures alike. Decides, and draws nothing.

A line is what the cells of one data set make that differ in depth alone. Its looks follow from all lines of the data
set, so that it looks the same in a chart that lacks some of the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from study.analysis.scores import cell_name

# The hues of Okabe and Ito and a violet, as light as reads both on white and on the dark page (contrast 3 or more). Any
# two of these and the greys are 11 apart in CIE Lab, also as readers see them who are blind to red, green or blue.
COLORS = ("#428EF5", "#DE7217", "#1E9864", "#BB7DAF", "#0B758C", "#9E610A", "#7B48EB")
REFERENCE_COLORS = ("#696969", "#8A8A8A")

# Accuracies reach from chance to above 0.98: on a log axis of the error, where equal steps halve it, both ends show.
MIN_ERROR = 1e-3  # That axis has no place for 0: nothing is drawn at a smaller error than this.
ERROR_TICKS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, MIN_ERROR)


class Marker(NamedTuple):
    """A marker's name in each library."""

    plotly: str
    matplotlib: str


# Nine, for 9 shares no divisor with 7 colours and 2 greys: colour and marker together repeat after 63 lines and after
# 18 references. No cross is among them: crosses mark what diverged.
MARKERS = (
    *(Marker("circle", "o"), Marker("square", "s"), Marker("triangle-up", "^"), Marker("diamond", "D")),
    *(Marker("triangle-down", "v"), Marker("triangle-left", "<"), Marker("pentagon", "p")),
    *(Marker("triangle-right", ">"), Marker("star", "*")),
)


@dataclass(frozen=True)
class LineStyle:
    """How one line looks.

    Attributes:
        reference: whether its nets are residual: what the plain ones are measured against, and grey.
    """

    label: str
    color: str
    marker: Marker
    reference: bool


@dataclass(frozen=True)
class LineStyles:
    """How each line of a data set looks.

    Attributes:
        names: the columns whose combinations are lines.
        by_label: the references first, so that a chart which has no room for all lines keeps them.
    """

    names: Sequence[str]
    by_label: Mapping[str, LineStyle]

    @classmethod
    def of(cls, cells: pd.DataFrame, names: Sequence[str]) -> "LineStyles":
        """Style the lines of `cells`, rows with `names` and architecture, in the order of their values."""
        cells = cells.sort_values(list(names))
        residual = (cells["architecture"] == "residual").groupby(line_names(cells, names), sort=False).all()
        references = int(residual.sum())
        styles = {}
        for place, (label, reference) in enumerate(residual.sort_values(ascending=False, kind="stable").items()):
            colors, own_place = (REFERENCE_COLORS, place) if reference else (COLORS, place - references)
            color, marker = colors[own_place % len(colors)], MARKERS[place % len(MARKERS)]
            styles[str(label)] = LineStyle(str(label), color, marker, bool(reference))
        return cls(names, styles)

    def lines(self, frame: pd.DataFrame) -> list[tuple[LineStyle, pd.DataFrame]]:
        """Split a table with the columns `names` into its lines, each with its style."""
        rows = dict(list(frame.groupby(line_names(frame, self.names))))
        assert rows.keys() <= self.by_label.keys(), "a line is missing from the cells that the styles were made of"
        return [(style, rows[label]) for label, style in self.by_label.items() if label in rows]

    def of_rows(self, frame: pd.DataFrame) -> list[LineStyle]:
        """The style of each row's line."""
        return [self.by_label[label] for label in line_names(frame, self.names)]


def line_names(frame: pd.DataFrame, names: Sequence[str]) -> "pd.Series[Any]":
    """One label for each row: the values of `names`, as in `study.analysis.scores.cell_name`."""
    if not names:
        return pd.Series("mean", index=frame.index)
    points = frame[list(names)]
    codes = points.groupby(list(names), dropna=False).ngroup().to_numpy()
    _, firsts = np.unique(codes, return_index=True)
    labels = np.array([cell_name(points.iloc[first], names) for first in firsts], dtype=object)
    return pd.Series(labels[codes], index=frame.index)
