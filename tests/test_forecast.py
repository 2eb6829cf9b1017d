"""Forecasts: the simulation against cases worked out by hand, the line through the readings, the cache."""

import dataclasses
import json
import pwd
from pathlib import Path

import pytest

from study import forecast as room
from study.config import TrialConfig
from study.datasets import ImageData, load_dataset
from study.forecast import Readings, forecast, kind_of, simulate, trial_bytes
from study.planning.plan import Plan


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits")


def test_one_worker_takes_the_sum(tiny_plan: Plan) -> None:
    seconds = {
        (cell.name, phase): 1.0 + number
        for number, cell in enumerate(tiny_plan.cells)
        for phase in ("search", "confirm")
    }
    assert simulate(tiny_plan, seconds, workers=1) == pytest.approx(4 * 1.0 + 4 * 2.0)


def test_a_cells_confirmations_wait_for_its_search(tiny_plan: Plan) -> None:
    one = dataclasses.replace(tiny_plan, cells=tiny_plan.cells[:1])
    seconds = {(one.cells[0].name, "search"): 1.0, (one.cells[0].name, "confirm"): 3.0}
    assert simulate(one, seconds, workers=100) == pytest.approx(4.0)


def test_seconds_are_linear_in_depth_between_readings(
    tmp_path: Path, digits: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "probe", lambda config, _data: 0.01 * config.depth)
    readings = Readings(tmp_path / "kept.json")
    for depth in (20, 110):
        readings.take(TrialConfig(epochs=1, depth=depth), digits)
    assert readings.step_seconds(TrialConfig(epochs=1, depth=44), digits) == pytest.approx(0.44)


def test_what_was_measured_once_is_not_measured_again(
    tiny_plan: Plan, tmp_path: Path, digits: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed = []
    monkeypatch.setattr(room, "busy", lambda: False)
    monkeypatch.setattr(room, "probe", lambda config, _data: probed.append(config) or 0.1)
    for _ in range(2):
        taken = forecast(tiny_plan, {"digits": digits}, 2, tmp_path / "kept.json")
    assert len(probed) == len({kind_of(cell.examples["search"]) for cell in tiny_plan.cells}) == 2
    assert taken.wall_seconds > room.START_SECONDS
    assert len(json.loads((tmp_path / "kept.json").read_text())) == 1


def test_what_was_measured_on_a_busy_machine_is_not_kept(
    tmp_path: Path, digits: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "busy", lambda: True)
    monkeypatch.setattr(room, "probe", lambda _config, _data: 0.1)
    readings = Readings(tmp_path / "kept.json")
    readings.take(TrialConfig(epochs=1, depth=8), digits)
    assert readings.any
    assert not (tmp_path / "kept.json").exists()


def test_a_real_probe_reads_a_plausible_time(tmp_path: Path, digits: ImageData) -> None:
    readings = Readings(tmp_path / "kept.json")
    readings.take(TrialConfig(epochs=1, depth=8, batch_size=32), digits)
    assert 1e-4 < readings.step_seconds(TrialConfig(epochs=1, depth=8, batch_size=32), digits) < 1.0


def test_memory_grows_with_batch_and_depth_and_halves_with_bf16(digits: ImageData) -> None:
    small = trial_bytes(TrialConfig(epochs=1, depth=20, batch_size=32), digits)
    large = trial_bytes(TrialConfig(epochs=1, depth=20, batch_size=64), digits)
    half = trial_bytes(TrialConfig(epochs=1, depth=20, batch_size=64, precision="bf16"), digits)
    activations = large - small
    assert large - half == pytest.approx(activations, rel=1e-6)
    assert trial_bytes(TrialConfig(epochs=1, depth=110, batch_size=32), digits) > 4 * small


def test_a_user_without_a_home_folder_goes_without_a_cache(digits: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container: a uid without an entry in passwd, and no HOME."""
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: {}[uid])
    monkeypatch.setattr(room, "probe", lambda *_: 0.01)
    readings = Readings(room.cache_file())
    readings.take(TrialConfig(epochs=1, depth=8), digits)
    assert readings.step_seconds(TrialConfig(epochs=1, depth=8), digits) == 0.01
