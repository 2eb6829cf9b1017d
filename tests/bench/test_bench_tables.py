"""The made-up run is one that every reader takes for real."""

from pathlib import Path

import pandas as pd

from study.analysis.curves import depth_curve
from study.bench.tables import RECIPES, GeneratedRun
from study.records import read_table
from study.report.opened_run import open_run
from study.store.schemas import SCHEMAS
from study.store.storage import Storage


def test_it_has_the_shape_that_was_asked_for(tmp_path: Path) -> None:
    asked = GeneratedRun(depths=(8, 20), searches=30, confirms=5, epochs=4, layer_rows=40)
    asked.write(Storage.at(tmp_path))
    run, cells = open_run(tmp_path), 2 * len(RECIPES)
    assert run.finished
    assert len(run.trials) == cells * 35
    assert len(read_table(tmp_path, "epochs")) == cells * 35 * 4
    layers = read_table(tmp_path, "layers")
    assert layers.groupby("trial_id").size().between(20, 40).all()
    assert list(layers.columns) == SCHEMAS["layers"].names
    assert len(depth_curve(run.trials)) == cells
    assert len(Storage.at(tmp_path).names("trials")) == 5
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "trials"), run.trials)


def test_the_same_shape_is_the_same_run(tmp_path: Path) -> None:
    for name in ("a", "b"):
        GeneratedRun(depths=(8,)).write(Storage.at(tmp_path / name))
    one, two = (read_table(tmp_path / name, "layers") for name in ("a", "b"))
    pd.testing.assert_frame_equal(one, two)
