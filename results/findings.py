"""Hold the numbers of the texts to the committed tables: `make findings`, or `python results/findings.py [--write]`.

A finding is a sentence of a text whose numbers are computed here from the tables under results/reference. A sentence
is missing where the text has other words, and has drifted where it has other numbers; --write mends the second. Every
number of three decimals in these texts must stand in such a sentence, so that none is kept up by hand.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from study import read_table
from study.analysis import mean_interval
from study.store.storage import read_json

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference"
NUMBER = re.compile(r"[-+]?\d+\.\d+")
RESULT = re.compile(r"\d\.\d{3}(?!\d)")
"""What the texts print results as."""


class Seeds(NamedTuple):
    """The scores of one cell's seeds, or the paired differences of two cells', as the texts print them."""

    scores: pd.Series
    form: str = ".3f"

    @property
    def mean(self) -> str:
        """The mean over seeds."""
        return format(self.scores.mean(), self.form)

    @property
    def ends(self) -> tuple[str, str]:
        """The 95 % interval of the mean, within what the scores can be."""
        _, low, high, _ = mean_interval(self.scores.to_numpy())
        return (f"{low:+.3f}", f"{high:+.3f}") if "+" in self.form else (f"{max(low, 0):.3f}", f"{min(high, 1):.3f}")

    @property
    def count(self) -> int:
        """How many seeds."""
        return len(self.scores)

    def __str__(self) -> str:
        """Mean and interval: `0.979 [0.966, 0.993]`."""
        return f"{self.mean} [{', '.join(self.ends)}]"

    def __sub__(self, other: "Seeds") -> "Seeds":  # type: ignore[override]
        return Seeds((self.scores - other.scores).dropna(), "+.3f")


@dataclass(frozen=True)
class Run:
    """A committed run."""

    name: str

    def __call__(self, metric: str = "val_accuracy", **chosen: Any) -> Seeds:
        """The scores of the confirmed cell that has these values; seeds that diverged count as chance."""
        rows = confirmed(self.name)
        for column, value in chosen.items():
            rows = rows[rows[column] == value]
        assert rows["cell"].nunique() == 1, (self.name, chosen, sorted(rows["cell"].unique()))
        scores = rows[metric].where(rows["status"] == "ok", 1 / rows["num_classes"])
        return Seeds(scores.set_axis(rows["seed"]))

    def test(self, **chosen: Any) -> Seeds:
        """The same by test accuracy."""
        return self("test_accuracy", **chosen)

    def baseline(self, kind: str = "linear", split: str = "validation", data: str = "digits") -> str:
        """The accuracy of a model that is not deep: `linear` or `nearest_neighbor`."""
        return f"{read_json(REFERENCE / self.name / 'run.json')[f'{kind}_baseline'][data][f'{split}_accuracy']:.3f}"


@cache
def confirmed(run: str) -> pd.DataFrame:
    """The confirmed rows of a committed run."""
    trials = read_table(str(REFERENCE / run), "trials")
    return trials[trials["phase"] == "confirm"]


class Finding(NamedTuple):
    """A sentence that a text is to contain."""

    path: Path
    sentence: str

    def found(self, text: str) -> re.Match[str] | None:
        """Where the text has the sentence's words, whatever its numbers and line breaks are."""
        words = [NUMBER.sub("NUMBER", word) for word in self.sentence.split()]
        pattern = r"\s+".join(re.escape(word).replace("NUMBER", NUMBER.pattern) for word in words)
        return re.search(pattern, text)

    def corrected(self, passage: str) -> str:
        """The passage with the sentence's numbers in the place of its own."""
        numbers = iter(NUMBER.findall(self.sentence))
        return NUMBER.sub(lambda _: next(numbers), passage)


def check(path: Path, sentences: Sequence[str], *, write: bool) -> Iterator[str]:
    """What is wrong with a text, a line each; with `write`, other numbers are corrected in the file."""
    text, covered = path.read_text(), []
    for finding in (Finding(path, sentence) for sentence in sentences):
        match = finding.found(text)
        if match is None:
            yield f"missing: {finding.sentence}"
            continue
        corrected = finding.corrected(match[0])
        if corrected != match[0]:
            yield f"{'corrected' if write else 'drifted'}: {' '.join(match[0].split())} -> {finding.sentence}"
            text = text[: match.start()] + corrected + text[match.end() :]
        covered.append(corrected)
    if write:
        path.write_text(text)
    for passage in covered:
        text = text.replace(passage, "")
    for number in RESULT.finditer(text):
        yield f"no finding has {number[0]}: ..{' '.join(text[max(0, number.start() - 60) : number.end()].split())}"


def main(arguments: Sequence[str]) -> int:
    """Check all texts; returns the exit code."""
    write, wrong = "--write" in arguments, 0
    for name, sentences in findings().items():
        for line in check(ROOT / name, sentences, write=write):
            wrong += not line.startswith("corrected")
            print(f"{name}: {line}")
    print("All numbers are those of the tables." if not wrong else f"{wrong} to mend.")
    return bool(wrong)
