"""The trials of one data set of a run, with the statistics that page, terminal and figures show of them."""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from study.analysis.comparison import contrast_of
from study.analysis.curves import Baselines, depth_curve
from study.analysis.headline import headline
from study.analysis.outcomes import training_outcomes
from study.analysis.sentence import Findings, pairs_of, sentence
from study.analysis.trainability import trainability_limits
from study.report.lines import LineStyles

LINEAR, NEIGHBOR = "linear baseline", "nearest neighbour"


@dataclass(frozen=True)
class Part:
    """The trials of one data set, and what they say: each statistic is computed once, when it is first asked for.

    Attributes:
        axes: the compared names, `dataset` left out.
        baselines: those of the images that all of them see, by BASELINES' words; none while they are not computed, and
            none where cells see images of other sizes or train on other numbers of them.
    """

    dataset: str
    trials: pd.DataFrame
    axes: list[str]
    baselines: Baselines

    @property
    def levels(self) -> dict[str, float]:
        """Validation accuracy of each baseline: verdicts are held against the linear one."""
        return {words: baseline["validation_accuracy"] for words, baseline in self.baselines.items()}

    @property
    def names(self) -> list[str]:
        """What tells its cells apart: the axes, or the cell's own name where nothing is compared."""
        return self.axes or ["cell"]

    @property
    def lines(self) -> list[str]:
        """The axes other than depth: one line of a depth curve for each combination of their values."""
        return [name for name in self.axes if name != "depth"]

    @cached_property
    def styles(self) -> LineStyles:
        """How each line looks in every picture of the data set."""
        return LineStyles.of(self.trials, self.lines)

    @cached_property
    def contrast(self) -> str | None:
        """The axis whose values are compared on equal seeds (`contrast_of`)."""
        return contrast_of(self.trials, self.axes)

    @property
    def within(self) -> list[str]:
        """The axes at whose equal values the contrast's are compared."""
        return [name for name in self.axes if name != self.contrast]

    @cached_property
    def curve(self) -> pd.DataFrame:
        """`depth_curve` of validation accuracy: a row for each confirmed cell."""
        return depth_curve(self.trials, by=self.axes)

    @cached_property
    def tested_curve(self) -> pd.DataFrame:
        """The curve with what the same seeds reach on the test images: mean_test, low_test, high_test."""
        test = depth_curve(self.trials, by=self.axes, metric="test_accuracy")
        ends = test[[*self.names, "mean", "low", "high"]]
        return self.curve.merge(ends, on=self.names, how="left", suffixes=("", "_test"))

    def scales_of(self, frame: pd.DataFrame) -> list[str]:
        """The numeric axes with several values in a table, as the sweep declares them: what is drawn against."""
        return [
            name
            for name in self.axes
            if frame[name].nunique() > 1 and is_numeric_dtype(frame[name]) and not is_bool_dtype(frame[name])
        ]

    def lines_by(self, scale: str) -> list[str]:
        """The axes that make lines against one of them; depth is none where it has one value."""
        one_depth = self.trials["depth"].nunique() == 1
        return [name for name in self.axes if name != scale and not (name == "depth" and one_depth)]

    def styles_by(self, scale: str) -> LineStyles:
        """How each line looks that is drawn against an axis."""
        return self.styles if scale == "depth" else LineStyles.of(self.trials, self.lines_by(scale))

    @property
    def has_depths(self) -> bool:
        """Whether there is a line to draw against depth."""
        return "depth" in self.scales_of(self.curve)

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """`training_outcomes` of each confirmed cell."""
        return training_outcomes(self.trials, by=self.axes)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """`paired_comparisons` between the values of the contrast; no row where nothing is compared."""
        return pairs_of(self.trials, self.axes, self.contrast)

    @cached_property
    def limits(self) -> pd.DataFrame:
        """`trainability_limits` of each line."""
        return trainability_limits(self.trials, by=self.lines)

    @property
    def findings(self) -> Findings:
        """The tables that the answer takes its words from."""
        return Findings(self.trials, self.names, self.contrast or "", self.curve, self.pairs, self.outcomes)

    @cached_property
    def headline(self) -> str:
        """The answer to the sweep's question in one plain line (`study.analysis.headline`)."""
        return headline(self.findings)

    @cached_property
    def answer(self) -> str:
        """The numbers behind the answer, in a sentence (`study.analysis.answer`)."""
        return sentence(self.findings, self.levels.get(LINEAR), self.levels.get(NEIGHBOR))
