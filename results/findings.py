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
from study.analysis.cost import pareto_front
from study.analysis.scores import mean_interval
from study.store.storage import Storage, read_json

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

    def front(self) -> list[tuple[float, float]]:
        """Accuracy and seconds of the search trials that no other beats in both."""
        trials = read_table(str(REFERENCE / self.name), "trials")
        found = trials[(trials["phase"] == "search") & (trials["status"] == "ok")]
        best = found[pareto_front(found, best="val_accuracy", cost="train_seconds")]
        return list(zip(best["val_accuracy"], best["train_seconds"], strict=True))

    def baseline(self, kind: str = "linear", split: str = "validation", data: str = "digits") -> str:
        """The accuracy of a model that is not deep: `linear` or `nearest_neighbor`."""
        facts = read_json(Storage.at(REFERENCE / self.name), "run.json")
        return format(facts[f"{kind}_baseline"][data][f"{split}_accuracy"], ".3f")


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
    if path.suffix == ".py":  # its docstring: code has numbers of its own
        text = text.split('"""')[1]
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


INGREDIENTS, LENGTHS, DEPTHS = Run("ingredients-44"), Run("length_sweep-quick"), Run("depth_sweep-quick")
FASHION, FRONTIER, JOINT = Run("depth_sweep-fashion"), Run("depth_frontier-quick"), Run("joint_search-quick")
MODULATION, TABLE, PENALTIES = Run("modulation_sweep-quick"), Run("paper_table-quick"), Run("regularizer_sweep-quick")
PAPER, LENGTH_STEPS = "orthonormal_modulated", (50, 200, 800)


def findings() -> dict[str, list[str]]:
    """Text to its findings, each with the numbers of today's tables."""
    return {
        "README.md": [*_ingredients(), *_lengths(), *_depths(), *_fashion()],
        "docs/gallery.md": [*_ingredients(), *_lengths(), *_depths(), *_fashion()],
        "search_spaces/ingredient_sweep.py": _ingredient_docstring(),
        "search_spaces/length_sweep.py": _length_docstring(),
        "search_spaces/depth_sweep.py": _depth_docstring(),
        "search_spaces/depth_frontier.py": _frontier_docstring(),
        "search_spaces/joint_search.py": _joint_docstring(),
        "search_spaces/modulation_sweep.py": _modulation_docstring(),
        "search_spaces/paper_table.py": _paper_docstring(),
        "search_spaces/regularizer_sweep.py": _regularizer_docstring(),
    }


def _by_steps(recipe: str) -> str:
    return ", ".join(LENGTHS(recipe=recipe, steps=steps).mean for steps in LENGTH_STEPS)


def _ingredients() -> list[str]:
    at = {name: INGREDIENTS.test(recipe=name) for name in (PAPER, "residual", "he_l2", "clip_layer", "warm_up")}
    leaky, linear = INGREDIENTS.test(recipe="he_l2_leaky"), INGREDIENTS.baseline("linear", "test")
    return [
        f"the paper's two ingredients reach {at[PAPER]} test accuracy over {at[PAPER].count} seeds, and their residual "
        f"twin {at['residual']}: a difference of {at[PAPER] - at['residual']}.",
        f"He's initialisation with weight decay reaches {at['he_l2']}.",
        f"layer clipping {at['clip_layer'].mean} or warm-up {at['warm_up'].mean} in the place of modulation, or a "
        f"leaky slope of 0.3 with weight decay, {leaky.mean}.",
        f"Logistic regression scores {linear} on these test images and the nearest neighbour "
        f"{INGREDIENTS.baseline('nearest_neighbor', 'test')}",
    ]


def _lengths() -> list[str]:
    return [
        f"the paper's recipe has {_by_steps(PAPER)} validation accuracy, its twin {_by_steps('residual')}, and "
        f"`open_relu` {_by_steps('open_relu')}"
    ]


def _depths() -> list[str]:
    at = {name: DEPTHS(depth=110, recipe=name) for name in ("isometric", "open_relu", "residual", "he_l2", PAPER)}
    shallow = {name: DEPTHS(depth=44, recipe=name) for name in ("he_l2", "orthonormal", PAPER, "residual")}
    return [
        f"`isometric` has {at['isometric']}, `open_relu` {at['open_relu']} and the residual twin {at['residual']}",
        f"`he_l2` has {at['he_l2'].mean} and the paper's recipe {at[PAPER].mean}",
        f"at 44 layers `he_l2` {shallow['he_l2'].mean}, `orthonormal` {shallow['orthonormal'].mean}, the paper's "
        f"recipe {shallow[PAPER].mean} and the twin {shallow['residual'].mean}",
    ]


def _fashion() -> list[str]:
    at = {name: FASHION(recipe=name) for name in ("isometric", "residual", PAPER, "he_l2")}
    return [
        f"`isometric` reaches {at['isometric']} over {at['isometric'].count} seeds and the ReLU twin {at['residual']}: "
        f"a difference of {at['isometric'] - at['residual']}",
        f"logistic regression {FASHION.baseline(data='fashion_mnist')}, the paper's recipe {at[PAPER].mean}, "
        f"`he_l2` {at['he_l2'].mean}",
    ]


def _ingredient_docstring() -> list[str]:
    at = {name: INGREDIENTS.test(recipe=name) for name in confirmed("ingredients-44")["recipe"].unique()}
    return [
        f"`{PAPER}` {at[PAPER]} and its residual twin {at['residual']}, difference {at[PAPER] - at['residual']}; "
        f"`open_relu` {at['open_relu']}, `residual_leaky` {at['residual_leaky'].mean}, `isometric` "
        f"{at['isometric'].mean}; `he_l2` {at['he_l2']}, one of whose seeds hardly learns. Over 3 seeds: without "
        f"modulation (`orthonormal`) {at['orthonormal'].mean}, without the penalty {at['paper_without_penalty'].mean}, "
        f"without the start {at['paper_without_start'].mean}; layer clipping {at['clip_layer'].mean}, warm-up "
        f"{at['warm_up'].mean}, LARS {at['lars'].mean} in its place; `he_l2_leaky` {at['he_l2_leaky'].mean}.",
        f"logistic regression has {INGREDIENTS.baseline()} and the nearest neighbour "
        f"{INGREDIENTS.baseline('nearest_neighbor')} on the validation images.",
    ]


def _length_docstring() -> list[str]:
    last = {name: str(LENGTHS(recipe=name, steps=LENGTH_STEPS[-1])) for name in (PAPER, "residual")}
    first = {name: ", ".join(LENGTHS(recipe=name, steps=n).mean for n in LENGTH_STEPS[:-1]) for name in last}
    return [
        f"`{PAPER}` {first[PAPER]}, {last[PAPER]}, its twin {first['residual']}, {last['residual']}; `open_relu` "
        f"{_by_steps('open_relu')} keeps pace with that twin. `residual_open`, its rate searched too short, has "
        f"{_by_steps('residual_open')}."
    ]


def _depth_docstring() -> list[str]:
    fashion = {name: FASHION(recipe=name).mean for name in ("isometric", "residual", PAPER, "he_l2")}
    return [
        *_depths(),
        f"`isometric` {fashion['isometric']} and `residual` {fashion['residual']} are not told apart, both above the "
        f"linear {FASHION.baseline(data='fashion_mnist')}; `{PAPER}` {fashion[PAPER]}, `he_l2` {fashion['he_l2']}.",
    ]


def _frontier_docstring() -> list[str]:
    at = {depth: FRONTIER(recipe="isometric_nonlinear", depth=depth).mean for depth in (140, 158)}
    return [
        f"`isometric_nonlinear` keeps up at 140 layers ({at[140]}) and no longer at 158 ({at[158]}), and `he_l2`, at "
        f"its one rate of 0.1, is below the linear baseline at 20 ({FRONTIER(recipe='he_l2', depth=20).mean})."
    ]


def _joint_docstring() -> list[str]:
    front = sorted(JOINT.front(), reverse=True)
    listed = ", ".join(f"{accuracy:.3f} in {seconds:.1f} s" for accuracy, seconds in front)
    return [
        f"the front is all at depth 8 ({listed}, one seed each); the best point confirms at {JOINT().mean} over 3 seeds"
    ]


def _modulation_docstring() -> list[str]:
    at = {name: MODULATION(recipe=name).mean for name in ("lars", "cumulative_constant", "off")}
    return [f"LARS {at['lars']}, cumulative modulation {at['cumulative_constant']}, off {at['off']};"]


def _paper_docstring() -> list[str]:
    rows = ("plain_l2", "plain_orthonormal", "plain_orthonormal_modulated")
    at = [TABLE(depth=44, recipe=name).mean for name in rows]
    worst = min(
        TABLE(depth=depth, recipe=name.replace("plain", "residual")).mean for depth in (44, 110) for name in rows
    )
    return [
        f"the plain rows reach {at[0]}, {at[1]} and {at[2]} in the table's order, at 110 chance to "
        f"{TABLE(depth=110, recipe=rows[2]).mean}; every residual row reaches {worst} or more."
    ]


def _regularizer_docstring() -> list[str]:
    kinds = {"L2": "l2", "orthonormal": "orthonormal", "spectral isometry": "spectral_isometry", "none": "none"}
    return [", ".join(f"{words} {PENALTIES(regularizer=kind).mean}" for words, kind in kinds.items()) + ":"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
