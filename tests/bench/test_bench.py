"""The bench's arithmetic, counting and wiring, on tiny subjects. Never how long anything takes."""

import argparse
import dataclasses
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from torch import nn

from study import trainer
from study.bench import __main__ as command
from study.bench import machine, tables
from study.bench.__main__ import SECTIONS, Section
from study.bench.loop import FIELDS, compare_precisions, mean_with_interval, measure_loop, own_epoch
from study.bench.measurement import (
    Estimate,
    Row,
    Setting,
    Target,
    estimate,
    interleave,
    number,
    ratio,
    section_table,
    verdict,
)
from study.bench.steps import BATCH, METHOD, REST, Stepper, made_up_images, measure_step, step_parts
from study.bench.throughput import footprint, operator_calls, work_of
from study.bench.usual_loop import UsualLoop, plain_net
from study.config import TrialConfig
from study.planning.plan import Plan
from study.trainer import Training

CPU = torch.device("cpu")
SHALLOW = METHOD | {"depth": 8}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the bench runs; a second thread beside a busy core would make everything slow."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def setting() -> Setting:
    return Setting(quick=True, device=CPU, say=lambda _text: None)


def test_the_interval_of_a_median_is_made_of_order_statistics():
    assert estimate([3.0, 1.0, 2.0]) == Estimate(2.0, 1.0, 3.0, 3)
    assert estimate(range(100)) == Estimate(49.5, 40, 59, 100)


def test_the_interval_covers_the_true_median_as_often_as_it_says():
    samples = torch.rand(400, 25, generator=torch.Generator().manual_seed(0)).tolist()
    intervals = [estimate(sample) for sample in samples]
    assert 0.93 <= sum(one.low <= 0.5 <= one.high for one in intervals) / len(intervals) <= 1.0


def test_a_ratio_compares_each_round_with_itself():
    busy = [1.0, 5.0, 2.0, 9.0]
    assert ratio([1.5 * one for one in busy], busy) == Estimate(1.5, 1.5, 1.5, 4)


def test_subjects_take_turns_in_alternating_order_and_warm_rounds_do_not_count():
    calls, now = [], iter(range(100))
    subjects = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    seconds = interleave(subjects, rounds=2, clock=lambda: float(next(now)), warm_rounds=1)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert seconds == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


@pytest.mark.parametrize(("at_most", "value", "met"), [(True, 1.0, True), (True, 1.1, False), (False, 1.1, True)])
def test_a_target_is_held_against_the_median(at_most, value, met):
    target = Target(1.0, at_most)
    assert Row("it", value, target=target).met is met
    assert Row("it", Estimate(value, 0.0, 9.0, 5), target=target).met is met
    assert Row("it", value).met is None


def test_rows_are_json_and_the_verdict_names_what_is_missed():
    rows = [
        Row("good", 1.0, "x", Target(2.0)),
        Row("bad", Estimate(3.0, 2.5, 3.5, 7), "x", Target(2.0)),
        Row("free", 9),
    ]
    bad = json.loads(json.dumps(rows[1].as_json()))
    assert (bad["median"], bad["low"], bad["samples"], bad["target"], bad["met"]) == (3.0, 2.5, 7, "<= 2", False)
    assert verdict(rows).splitlines() == ["1 of 2 targets met, missed:", "  bad: 3.000 (target <= 2)"]
    assert verdict(rows[:1]) == "1 of 1 targets met."
    assert section_table(rows).row_count == 3


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (1.0771, "1.077"), (1234.5, "1,234"), (0.0123, "0.01230")])
def test_numbers_have_four_significant_digits(value, text):
    assert number(value) == text


def test_the_usual_loop_makes_the_same_steps_as_the_trainer():
    """So what is compared differs in how it is written, and in nothing else."""
    fields = METHOD | {"depth": 14, "modulation_band": 1.001, "regularizer_strength": 0.01, "learning_rate": 0.05}
    training = Training(TrialConfig(epochs=9, batch_size=BATCH, **fields), made_up_images(8, BATCH), CPU)
    training.network.train()
    net = plain_net(14, 1, 10)
    copy_parameters(training.network, net)
    loop = UsualLoop(net, learning_rate=0.05, strength=0.01, band=1.001)
    images, labels = next(iter(training.batches.training(BATCH)))
    for _ in range(3):
        training.step(images, labels, record=False)
        loop.step(images, labels)
    for ours, theirs in zip(in_order(training.network), in_order(net), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=8e-5)  # a strength of 0.011: 1.1e-4


def in_order(net: nn.Module) -> list[nn.Parameter]:
    """Parameters by the kind of their layer, each kind from first to last."""
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    return [p for kind in kinds for layer in net.modules() if isinstance(layer, kind) for p in layer.parameters()]


def copy_parameters(source: nn.Module, target: nn.Module) -> None:
    with torch.no_grad():
        for given, taken in zip(in_order(source), in_order(target), strict=True):
            taken.copy_(given)


def test_the_parts_of_a_step_make_a_whole_and_leave_no_stopwatch_behind():
    stepper = Stepper(SHALLOW, 8, CPU)
    ticks = iter(range(10**6))
    parts = step_parts(stepper, steps=2, clock=lambda: float(next(ticks)))
    assert sum(parts.values()) == pytest.approx(1.0)
    assert parts.keys() == {"forward", "backward", "factors and rescale", "penalty", "optimiser", REST}
    assert all(share > 0 for share in parts.values())
    after = next(ticks)
    stepper()
    assert next(ticks) == after + 1


def test_a_step_is_measured_with_and_without_and_only_the_whole_method_has_a_target(setting):
    rows = list(measure_step(setting, depth=8, size=8, rounds=2))
    assert [row.unit for row in rows] == ["ms", "x", "x", "x", "x"]
    assert [row.target is not None for row in rows] == [False, False, False, False, True]
    assert rows[0].parts
    assert rows[-1].parts


def test_a_compiled_step_is_measured_where_there_is_time(setting, monkeypatch):
    compiled = []
    monkeypatch.setattr(trainer, "compile_network", lambda network, _device: compiled.append(network) or network)
    rows = list(measure_step(dataclasses.replace(setting, quick=False), depth=8, size=8, rounds=1))
    assert rows[-1].what.endswith("compiled / not compiled")
    assert len(compiled) == 1


def test_an_epoch_is_measured_beside_the_usual_one(setting):
    rows = list(measure_loop(setting, made_up_images(32, 4), depth=8, rounds=1))
    assert [row.unit for row in rows] == ["s", "x", "x"]
    assert rows[-1].target == Target(2.0, at_most=False)


def test_an_epoch_sees_every_image_once():
    _loss, correct, _fired = own_epoch(made_up_images(8, 130), 8, CPU, "fp32")()
    assert 0 <= correct <= 130


def test_precisions_are_compared_on_equal_seeds(setting):
    rows = list(compare_precisions(setting, made_up_images(8, 32), FIELDS | {"depth": 8, "steps": 1}))
    full, low, difference = (row.value for row in rows)
    assert difference.median == pytest.approx(low.median - full.median)
    assert difference.low <= difference.median <= difference.high


def test_a_mean_has_students_interval():
    assert mean_with_interval([1.0, 2.0, 3.0]) == Estimate(
        2.0, pytest.approx(-0.4841, abs=1e-4), pytest.approx(4.4841, abs=1e-4), 3
    )


def test_work_is_counted():
    left, right = torch.ones(3, 4), torch.ones(4, 5)
    work = work_of(lambda: left.T.T @ right.view(4, 5))
    assert (work.flops, work.bytes, work.calls) == (2 * 3 * 4 * 5, 4 * (12 + 20 + 15), 1)


def test_the_names_of_a_steps_parts_are_no_operator_calls():
    def in_a_part() -> None:
        with torch.profiler.record_function("forward"):
            torch.ones(3).add_(1.0)

    assert work_of(in_a_part).calls == 2


def test_operator_calls_grow_evenly_with_depth():
    calls = {depth: work_of(Stepper(METHOD | {"depth": depth}, 8, CPU)).calls for depth in (8, 14, 20)}
    assert calls[20] - calls[14] == calls[14] - calls[8]
    rows = list(operator_calls(calls))
    assert rows[-1].median == (calls[20] - calls[8]) / 12 < 10


def test_allocations_are_counted_and_steps_keep_to_their_number():
    kept = footprint(lambda: (torch.empty(1000), torch.empty(3000)))
    assert (kept.allocations, kept.peak_bytes) == (2, 4 * 4000)
    freed = footprint(lambda: [torch.empty(size).zero_().numel() for size in (1000, 3000)])
    assert (freed.allocations, freed.peak_bytes) == (2, 4 * 3000)
    stepper = Stepper(SHALLOW, 8, CPU)
    stepper()
    assert footprint(stepper).allocations == footprint(stepper).allocations


def test_pauses_that_double_are_found():
    assert machine.slowing([float(k) for k in range(50)]) == 1.0
    assert machine.slowing([*range(100), *(100 + 2 * k for k in range(101))]) == 2.0


def test_the_committed_run_says_how_busy_its_workers_were():
    row = machine.busy_workers(machine.COMMITTED_RUN)
    assert 0 < row.median < 1


def test_the_trivial_run_has_as_many_trials_as_is_said():
    assert [machine.trivial_plan(each).trial_count for each in machine.TRIALS_PER_CELL] == [240, 1_200]


def test_trial_ends_are_counted_once_all_workers_are_up():
    watch = SimpleNamespace(ended=[0.0, 30.0, 31.0, 31.1, 31.2, 31.3], worked=[0.0, 9.0, 9.1, 9.12, 9.14, 9.16])
    rate, work = machine.scaling_rows(4, watch)
    assert (rate.value, rate.met) == (pytest.approx(10.0), False)
    assert (work.value, work.met) == (pytest.approx(20.0), True)
    assert all(row.target is None for row in machine.scaling_rows(1, watch))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_trivial_trials_run_through_the_study_and_through_ray_alone(tiny_plan: Plan, tmp_path: Path):
    rows = list(machine.measure_run(tiny_plan, str(tmp_path)))
    assert rows[0].what.startswith(f"{tiny_plan.trial_count} trivial trials")
    assert [row.target is not None for row in rows] == [False, True, True, True, True]
    assert machine.plain_tune_seconds(1, 1, str(tmp_path)) > 0
    assert machine.plain_optuna_seconds(2) > 0


def test_the_large_run_is_measured_in_a_process_of_its_own(setting, monkeypatch):
    known = dict.fromkeys(tables.ROWS, 0.5) | {f"{name}_rows": 1000.0 for name in ("trials", "epochs", "layers")}
    monkeypatch.setattr(tables, "PROGRAM", f"print('{json.dumps(known)}')")
    rows = list(tables.measure(setting))
    assert rows[0].what == '1,000 trials + 1,000 epochs + 1,000 layers: read_table("trials")'
    assert all(row.met for row in rows)


def test_help_lists_the_sections_and_unknown_ones_are_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in SECTIONS)
    with pytest.raises(argparse.ArgumentTypeError, match="no section 'stops': there are steps"):
        command._sections("steps,stops")


def test_sections_are_shown_and_written(monkeypatch, tmp_path):
    steps, tables_of_run = ([Row(name, 1.0, "s", Target(2.0))] for name in ("steps", "tables"))
    found = {"study.bench.steps:measure": steps, "study.bench.tables:measure": tables_of_run}
    monkeypatch.setattr(pkgutil, "resolve_name", lambda name: lambda _setting: iter(found[name]))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    console = Console(file=(tmp_path / "shown").open("w"), width=150)
    command.bench(["steps", "tables"], quick=True, json_path=tmp_path / "bench.json", console=console)
    console.file.close()
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["quick"] is True
    assert written["versions"].keys() >= {"torch", "commit"}
    assert written["sections"]["tables"]["rows"][0]["met"] is True
    shown = (tmp_path / "shown").read_text()
    assert "2 of 2 targets met." in shown
    assert SECTIONS["steps"].title in shown


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_each_section_has_its_function(section: Section, setting: Setting):
    assert iter(pkgutil.resolve_name(f"study.bench.{section.measure}")(setting))
