"""A part of a run computes each statistic once; a section that fails takes no other with it."""

from collections import Counter
from typing import Any

import pandas as pd
import pytest

from study.analysis import answer
from study.bench.tables import GeneratedRun
from study.report import page, part
from study.report.opened_run import OpenedRun, open_run
from study.report.page import render_page
from study.store.storage import Storage


@pytest.fixture
def run(tmp_path) -> OpenedRun:
    storage = Storage.at(tmp_path)
    GeneratedRun(depths=(8, 110), searches=1).write(storage)
    return open_run(storage)


def test_a_page_computes_each_statistic_once(run: OpenedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()

    def counted(name: str) -> None:
        original = getattr(part, name)

        def count(trials: pd.DataFrame, *given: Any, **options: Any) -> pd.DataFrame:
            calls[name + options.get("metric", "")] += 1
            return original(trials, *given, **options)

        monkeypatch.setattr(part, name, count)

    statistics = ("depth_curve", "pairs_of", "training_outcomes", "trainability_limits")
    for name in statistics:
        counted(name)
    render_page(run)
    assert calls == {"depth_curvetest_accuracy": 1, **dict.fromkeys(statistics, 1)}


def test_its_answer_is_the_one_that_the_tables_give(run: OpenedRun) -> None:
    (part,) = run.parts
    linear, neighbor = part.baselines.values()
    assert part.answer == answer(part.trials, linear, neighbor, by=part.axes)


def test_a_section_that_fails_says_so_and_the_others_stand(run: OpenedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("<b>odd</b>")

    monkeypatch.setattr(page, "cost_section", fails)
    shown = render_page(run)
    assert "This section could not be made (KeyError: &#39;&lt;b&gt;odd&lt;/b&gt;&#39;)." in shown
    assert all(f"<h2>{title}</h2>" in shown for title in ("Accuracy against depth", "Comparisons", "Cost", "Isometry"))
