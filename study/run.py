"""The command line: `python -m study.run` lists the sweeps, `python -m study.run SWEEP` runs one."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study import __version__
from study.planning.plan import Overrides, Plan, make_plan
from study.search.samplers import PRUNERS, SAMPLERS, SearchMethod
from study.store.storage import RESULTS
from study.sweeps import NamedSweep, list_sweeps, load_sweep
from study.terminal import INTERRUPTED, Parser, exit_code, plural
from study.tuner.stop_conditions import parse_duration

if TYPE_CHECKING:  # heavy, and needed for their names alone
    from study.prepare import Options, PreparedRun
    from study.tuner.display import Display

REPLAY = "replay"  # in a sweep's place
FAILED = 1  # exit code

EXECUTION = (
    *("storage", "fresh", "workers", "cpus_per_trial", "gpus_per_trial", "address", "data_dir"),
    *("max_failures", "time_budget_seconds"),
)

DESCRIPTION = "How deep can a plain CNN be trained, and what does it take? Runs a sweep, or what is missing of it."
EPILOG = """\
examples:
  python -m study.run                                     list the sweeps
  python -m study.run depth_sweep                         the main question, quick: minutes on two cores
  python -m study.run depth_sweep --dry-run               what would be run, cell by cell
  python -m study.run depth_sweep --set depth=8,14 --set recipe=he_l2,isometric --run shallow
                                                          other depths and two recipes, as a run of its own
  python -m study.run depth_sweep --set learning_rate=0.05
                                                          fix a value that is otherwise searched
  python -m study.run depth_sweep --confirm-seeds 5       extend a run: 5 fresh seeds a cell; finished trials are kept
  python -m study.run depth_sweep --scale paper --data-dir ~/data --address auto
                                                          CIFAR-10 as in the paper, on a running Ray cluster
  python -m study.run replay depth_sweep-quick TRIAL_ID   repeat one trial; say whether every epoch is identical
  python -m study.run my_sweep.py                         a sweep of your own, written like search_spaces/depth_sweep.py

The same command goes on where it stopped: finished trials are never repeated, failed ones run again.
Results are in results/RUN/, as Parquet.
Data sets: python -m study.datasets."""


def build_parser() -> argparse.ArgumentParser:
    """The command line's options; `python -m study.run --help` shows them."""
    parser = Parser(
        prog="python -m study.run",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sweep", nargs="?", metavar="SWEEP|FILE.py", help="a sweep's name, or a Python file that declares one")
    add("replayed", nargs="*", metavar="RUN TRIAL_ID", help="after `replay`: repeat that trial, say if it is identical")
    add("--version", action="version", version=f"plain-depth-study {__version__}")
    asks = parser.add_argument_group("what is asked")
    asks.add_argument(
        "--scale", default="quick", metavar="NAME", help="quick (default), standard, paper, or another of the sweep's"
    )
    asks.add_argument("--dataset", metavar="NAME", help="short for --set dataset=NAME")
    asks.add_argument(
        "--set",
        action="append",
        default=[],
        type=_assignment,
        metavar="FIELD=VALUE[,VALUE..]",
        help="on a compared field: replace its values; else fix the value. Wins over recipe, scale and sweep",
    )
    asks.add_argument("--trials", type=_positive_int, metavar="N", help="search trials a cell")
    asks.add_argument("--confirm-seeds", type=_positive_int, metavar="N", help="fresh seeds for each cell's best point")
    asks.add_argument("--seed", type=_seed, default=0, metavar="N", help="every trial's seed is derived from it (0)")
    _add_execution_options(parser.add_argument_group("how it is run"))
    return parser


def _add_execution_options(group: Any) -> None:
    group.add_argument("--run", metavar="NAME", help="name of the run (SWEEP-SCALE)")
    group.add_argument("--fresh", action="store_true", help="delete what the run has and start anew")
    group.add_argument("--dry-run", action="store_true", help="show cells, spaces and trials; start nothing")
    group.add_argument("--data-dir", type=Path, metavar="DIR", help="where data sets lie (STUDY_DATA_DIR, or data/)")
    group.add_argument("--workers", type=_positive_int, metavar="N", help="most trials at a time (all that fit)")
    group.add_argument("--cpus-per-trial", type=_positive_float, default=1.0, metavar="X", help="CPUs of a trial (1)")
    group.add_argument("--gpus-per-trial", type=_share, metavar="X", help="GPUs of a trial (the share that it needs)")
    group.add_argument("--sampler", default="tpe", choices=SAMPLERS, help=f"{', '.join(SAMPLERS)} (tpe)")
    group.add_argument("--scheduler", default="none", choices=PRUNERS, help="stop hopeless search trials early (none)")
    group.add_argument("--confirm-only", action="store_true", help="search no further; confirm what was found")
    group.add_argument(
        "--time-budget", dest="time_budget_seconds", type=_duration, metavar="2h", help="no trial begins after it"
    )
    group.add_argument(
        "--max-failures", type=_count, default=1, metavar="N", help="times a failed trial begins again (1)"
    )
    group.add_argument(
        "--address", metavar="ADDR", help="a running Ray cluster, e.g. auto (RAY_ADDRESS; else a new one)"
    )
    group.add_argument(
        "--storage",
        default=RESULTS,
        metavar="URI",
        help="folder, or URI that pyarrow opens (s3, gs, abfs, ..), that holds runs (results)",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = build_parser().parse_args(arguments)
    return exit_code(lambda: _command(options), (ValueError, OSError))


def _command(options: argparse.Namespace) -> int:
    """Do what is asked; ValueError for bad input."""
    if options.sweep is None:
        return _list()
    if options.sweep == REPLAY:
        return _replay(options)
    plan = planned(load_sweep(options.sweep), options)
    return _dry_run(plan, options) if options.dry_run else _run(plan, options)


def planned(named: NamedSweep, options: argparse.Namespace) -> Plan:
    """The plan of that sweep that the command line asks for; ValueError where it is not sound."""
    if options.replayed:
        raise ValueError(f"unexpected arguments {' '.join(options.replayed)}: one sweep at a time")
    return make_plan(named, options.scale, _overrides(options))


def _list() -> int:
    """One line a sweep: question, cells, trials."""
    for named in list_sweeps():
        plan = make_plan(named)
        size = f"{plural(len(plan.cells), 'cell')}, {plural(plan.trial_count, 'trial')}"
        print(f"{named.name:20} {named.question}  [{size}]")
    print("\nRun one: python -m study.run SWEEP. More: python -m study.run --help")
    return 0


def _run(plan: Plan, options: argparse.Namespace) -> int:
    """Prepare, run what is missing, sum up. Heavy imports wait until the input is known to be sound."""
    from study.prepare import prepared_run
    from study.tuner.display import Display

    how, display = _execution(options), Display(plan)
    try:
        with prepared_run(plan, how, display.say) as prepared:
            if not prepared.studies.finished:
                _execute(prepared, how, display)
    except KeyboardInterrupt:
        display.say("\nInterrupted. What had finished is on disk; the same command goes on from there.")
        return INTERRUPTED
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:  # a full disk, a storage that is gone
        print(f"error: {error}. What had finished is safe; the same command goes on from there.", file=sys.stderr)
        return FAILED
    from study.report.page import write_report
    from study.report.summary import print_summary

    print_summary(prepared.storage, display.console)
    display.say(f"\nReport: {write_report(prepared.storage)}")
    return 0


def _execution(options: argparse.Namespace) -> "Options":
    """How the run is to be carried out."""
    from study.prepare import Options

    return Options(
        method=SearchMethod(options.sampler, options.scheduler, confirm_only=options.confirm_only),
        **{name: getattr(options, name) for name in EXECUTION},
    )


def _execute(prepared: "PreparedRun", how: "Options", display: "Display") -> None:
    """Run what is missing. A whole run on this machine's CPU is forecast first, and the truth put beside it."""
    from study.forecast import forecast
    from study.launch import execute
    from study.store.run_file import record_duration

    foreseeable = not (prepared.finished_trials or prepared.begun or _elsewhere(how.address))
    expected = forecast(prepared.plan, prepared.data, _workers(how.workers)) if foreseeable else None
    if expected is not None:
        display.say(
            f"Forecast: about {expected.wall_seconds / 60:.1f} minutes on {plural(expected.workers, 'worker')}."
        )
    started = time.monotonic()
    execute(prepared, how, display)
    if expected is not None and prepared.studies.finished:  # not where the time budget ended it
        record_duration(prepared.storage, expected.wall_seconds, time.monotonic() - started)


def _elsewhere(address: str | None) -> bool:
    """Whether trials may run on other machines or on GPUs, of which a probe of this CPU says nothing."""
    import torch

    return bool(address or os.environ.get("RAY_ADDRESS") or torch.cuda.device_count())


def _workers(most: int | None) -> int:
    """Trials at a time on this machine."""
    return min(most or sys.maxsize, os.cpu_count() or 1)


def _replay(options: argparse.Namespace) -> int:
    """Repeat a recorded trial; exit code 1 when it is not identical."""
    if len(options.replayed) != 2:
        raise ValueError("replay wants a run and a trial id: python -m study.run replay RUN TRIAL_ID")
    from rich.console import Console

    from study.replay import replay

    run, trial_id = options.replayed
    return 0 if replay(run, trial_id, options.data_dir, Console(highlight=False)) else FAILED


def _dry_run(plan: Plan, options: argparse.Namespace) -> int:
    """Show what would be run, and what it would take; the input is checked as for a run."""
    from study.prepare import checked_data

    data = checked_data(plan, _execution(options))
    from study.dry_run import print_forecast, print_plan
    from study.forecast import forecast

    print_plan(plan)
    print_forecast(plan, forecast(plan, data, _workers(options.workers)), elsewhere=_elsewhere(options.address))
    return 0


def _overrides(options: argparse.Namespace) -> Overrides:
    fields = dict(options.set)
    if len(fields) < len(options.set):
        raise ValueError("--set names a field twice: give all of its values at once, as in --set depth=8,14")
    if options.dataset is not None:
        fields["dataset"] = options.dataset
    return Overrides(
        fields=fields,
        trials_per_cell=options.trials,
        confirm_seeds=options.confirm_seeds,
        run=options.run,
        seed=options.seed,
    )


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE")
    return name, value


def _positive_int(text: str) -> int:
    return int(_number(text, int, lambda value: value >= 1, "a whole number of at least 1"))


def _count(text: str) -> int:
    return int(_number(text, int, lambda value: value >= 0, "a whole number of at least 0"))


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seed(text: str) -> int:
    return int(_number(text, int, lambda value: 0 <= value < 2**30, "a whole number from 0 to 2**30 - 1"))


def _positive_float(text: str) -> float:
    return float(_number(text, float, lambda value: 0 < value < float("inf"), "a number above 0"))


def _share(text: str) -> float:
    return float(_number(text, float, lambda value: 0 <= value < float("inf"), "a number of at least 0"))


def _number(text: str, kind: type, allowed: Any, wanted: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not allowed(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value


if __name__ == "__main__":
    sys.exit(main())
