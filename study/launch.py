"""One Tuner for a run: starts Ray, gives out the jobs, ends it. `run_sweep` is the toolkit's Python entrance."""

import functools
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import study.tuner.ray_environment  # noqa: F401

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.error import TuneError
from ray.tune.progress_reporter import TrialProgressCallback

from study.options import Options
from study.planning.plan import Overrides, make_plan
from study.planning.settings import written
from study.prepare import PreparedRun, prepared_run
from study.store.storage import Storage
from study.store.tool_logs import tools_of
from study.sweeps import NamedSweep, load_sweep
from study.terminal import declared, did_you_mean, read_options
from study.training.own_parts import joined
from study.training.part_checks import checked
from study.tuner.checkpoint_service import CheckpointService, checkpoint_service
from study.tuner.demand import Demand, find_autoscaler
from study.tuner.display import Display
from study.tuner.gpu_memory import GpuMemory
from study.tuner.live_journal import LiveJournal
from study.tuner.live_log import LiveLog
from study.tuner.node_loss import forgiven_node_losses, memory_kills_end_one_trial
from study.tuner.recorder import Recorder
from study.tuner.searcher import JobSearcher, PruningScheduler
from study.tuner.session import ray_session
from study.tuner.slots import Slots, living_nodes, resources_of
from study.tuner.stop_conditions import StopConditions
from study.tuner.stopping import GO_ON, Stop, stoppable, watched
from study.tuner.trainable import run_trial
from study.tuner.waiting import Waiting

SCRATCH = "ray"  # folder of Ray's own files
UNBOUNDED = 10**9  # the searcher says when it is finished


def run_sweep(
    sweep: str | Path | NamedSweep,
    scale: str = "quick",
    *,
    compare: Mapping[str, Sequence[Any]] | None = None,
    set: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    **how: Any,
) -> Storage:
    """Run a sweep, or what is missing of it, and return where its results lie.

        run_sweep("depth_sweep", compare={"width": [8, 16]}, set={"depth": 20, "epochs": 1}, run="widths", workers=2)

    A Ray cluster that is lost ends the whole process with exit code 1, for Ray would hang: see `study.tuner.stopping`.

    Args:
        sweep: its name, the path of a Python file that declares one, or what `load_sweep` gave.
        scale: one of the sweep's.
        compare: values of fields that are compared, whether the sweep does or not; of recipes their names.
        set: values of fields; on a compared one a list, which replaces its values.
        data: own data sets by name: (X, y, X_test, y_test), or a dict of arrays; see `docs/own-data.md`. Give them
            again to go on.
        how: fields of `study.planning.plan.Overrides` (trials_per_cell, confirm_seeds, seed, run), of
            `study.options.Options` (workers, storage, fresh, ..) and of `SearchMethod` (sampler, scheduler).

    Raises:
        ValueError: bad input, before any trial has started.
        TypeError: `how` has a name that is none of these.
        KeyboardInterrupt: interrupted; what had finished is on disk.
    """
    named = sweep if isinstance(sweep, NamedSweep) else load_sweep(str(sweep))
    given = {"fields": set or {}, "compare": compare or {}}
    settings = {kind: {name: written(name, value) for name, value in values.items()} for kind, values in given.items()}
    chosen, parts = _chosen(how), named.sweep.parts
    options, overrides = read_options(Options, chosen), read_options(Overrides, chosen, **settings)
    with joined(checked({**parts, "dataset": {**parts.get("dataset", {}), **(data or {})}})):
        plan = make_plan(named, scale, overrides)
        display = Display(plan)
        with prepared_run(plan, options, display.say) as prepared:
            if not prepared.studies.finished:
                execute(prepared, options, display)
    return prepared.storage


def execute(
    prepared: PreparedRun, options: Options, display: Display, trainable: Callable[..., None] = run_trial
) -> None:
    """Run the trials that are missing, or as many as the time budget allows; `trainable` trains one.

    Raises:
        ValueError: no node, there or to be added, can hold a trial, or no cluster answers.
        OSError: what a trial left could not be stored.
        RuntimeError: the first trials all failed with one error, which it tells; or the cluster is gone.
        KeyboardInterrupt: a signal asked for the end.
    """
    ending = StopConditions(options.time_budget_seconds, prepared.studies.trial_count)
    display.say("Connecting to Ray ...")
    with (
        scratch(prepared.storage) as folder,
        ray_session(options.address) as joined,
        watched(functools.partial(_clean_up, folder, display)),
    ):
        autoscaler = find_autoscaler(display.say) if joined is not None else None
        slots = Slots(options, prepared.data, living_nodes, GpuMemory(display.say).smallest_bytes, autoscaler)
        slots.check_possible(config for cell in prepared.plan.cells for config in cell.examples.values())
        if joined is not None:
            display.say(f"Joined the Ray cluster at {joined}: {len(living_nodes())} nodes, {slots.count()} slots.")
        if autoscaler is not None:
            display.say(f"Its autoscaler may add {autoscaler}.")
        kept = checkpoint_service(prepared.storage) if prepared.has_checkpoints else nullcontext()
        with (
            stoppable() as stop,
            display.live(prepared, slots.count),
            forgiven_node_losses(),
            memory_kills_end_one_trial(),
            kept as service,
            Demand(prepared.studies, slots, ending.is_due) as demand,
        ):
            trial = _with_data(trainable, prepared, service)
            _fit(_tuner(prepared, options, slots, ending, display, folder, trial, demand))
    _tell_why(ending, stop, whole=prepared.studies.finished or ending.time_is_up)


def _chosen(how: Mapping[str, Any]) -> Namespace:
    """The options as the command line would have them; TypeError, as Python has it, for one that there is not."""
    known = {one.name: one.default for kind in (Overrides, Options) for one in declared(kind)}
    for name in how:
        if name not in known:
            raise TypeError(f"run_sweep() got an unexpected argument {name!r}{did_you_mean(name, known)}")
    return Namespace(**{**known, **how})


def _tell_why(ending: StopConditions, stop: Stop, *, whole: bool) -> None:
    """Raise what ended the run early, if it did, or what made all of it worthless."""
    if ending.storage_error is not None:
        raise ending.storage_error
    if ending.common_failure is not None:
        raise RuntimeError(f"stopped: the first trials all failed with {ending.common_failure}")
    if whole:
        return
    if stop.signalled:
        raise KeyboardInterrupt
    raise RuntimeError(f"Ray ended the run early. {GO_ON}")


def _fit(tuner: tune.Tuner) -> None:
    """Run it; RuntimeError for what Ray itself stumbles over."""
    try:
        tuner.fit()
    except (RayError, TuneError) as error:
        raise RuntimeError(f"Ray broke off: {str(error).strip().splitlines()[-1]}. {GO_ON}") from error


def _clean_up(folder: str, display: Display) -> None:
    """What matters of the block's ends where the program must end inside it."""
    _remove(folder)
    display.console.show_cursor()


def _with_data(trainable: Callable[..., None], prepared: PreparedRun, service: CheckpointService | None) -> Any:
    """The trainable with what all trials share, which Ray hands to them through its object store."""
    given: dict[str, Any] = {"data": {name: ray.put(arrays) for name, arrays in prepared.data.items()}}
    if service is not None:
        given["checkpoints"] = service
    if prepared.plan.coded_parts:
        given["code"] = dict(prepared.plan.code)
    return tune.with_parameters(trainable, **given)


def _tuner(
    prepared: PreparedRun,
    options: Options,
    slots: Slots,
    ending: StopConditions,
    display: Display,
    folder: str,
    trial: Any,
    demand: Demand,
) -> tune.Tuner:
    journal = [LiveJournal(prepared)] if prepared.storage.is_local else []
    logs = [LiveLog(tool, prepared, display.say) for tool in tools_of(options.log)]
    recorder = Recorder(prepared, (display, ending, *journal, *logs), ending.break_off, display.say)
    waiting = Waiting(slots, display.say)
    waiting.say_at_once()
    return tune.Tuner(
        tune.with_resources(trial, resources_of),
        tune_config=tune.TuneConfig(
            search_alg=JobSearcher(prepared.studies, slots, ending.is_due),
            scheduler=PruningScheduler(prepared.studies, recorder.pruned),
            num_samples=UNBOUNDED,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=SCRATCH,
            storage_path=folder,
            callbacks=[recorder, waiting, demand, Silence()],
            failure_config=tune.FailureConfig(max_failures=options.max_failures),
            verbose=0,
        ),
    )


class Silence(TrialProgressCallback):
    """Stands where Ray would put its own printer, which speaks even with verbose=0."""

    def _print(self, msg: str) -> None:
        pass


@contextmanager
def scratch(storage: Storage) -> Iterator[str]:
    """A local folder for Ray's own files, removed at the end: nothing in it is ever read again."""
    folder = storage.root if storage.is_local else tempfile.mkdtemp(prefix="study-")
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: str) -> None:
    """Ray's files, and their folder where nothing else is in it."""
    shutil.rmtree(Path(folder) / SCRATCH, ignore_errors=True)
    with suppress(OSError):
        Path(folder).rmdir()
