"""The command line: `python -m study.run` lists the sweeps, `python -m study.run SWEEP` runs one."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from study import __version__
from study.options import Options
from study.planning.plan import Overrides, Plan, make_plan
from study.sweeps import NamedSweep, list_sweeps, load_sweep
from study.terminal import (
    INTERRUPTED,
    Parser,
    add_options,
    at_terminal,
    declared,
    exit_code,
    plural,
    read_options,
    spelled,
)

if TYPE_CHECKING:  # heavy, and needed for their names alone
    from study.prepare import PreparedRun
    from study.store.storage import Storage
    from study.tuner.display import Display

REPLAY = "replay"  # in a sweep's place
FAILED = 1  # exit code
LONG_SECONDS = 2 * 3600.0  # forecasts above it are worth a question

DESCRIPTION = "How deep can a plain CNN be trained, and what does it take? Runs a sweep, or what is missing of it."
EPILOG = """\
examples:
  python -m study.run                                     list the sweeps
  python -m study.run depth_sweep                         the main question, quick: minutes on two cores
  python -m study.run depth_sweep --dry-run               what would be run, cell by cell
  python -m study.run depth_sweep --set depth=8,14 --set recipe=he_l2,isometric --run shallow
                                                          other depths and two recipes, as a run of its own
  python -m study.run depth_sweep --compare width=8,16 --set depth=20 --run widths
                                                          compare a field that the sweep does not
  python -m study.run depth_sweep --set learning_rate=0.05
                                                          fix a value that is otherwise searched
  python -m study.run depth_sweep --confirm-seeds 5       extend a run: 5 fresh seeds a cell; finished trials are kept
  python -m study.run depth_sweep --scale paper --data-dir ~/data --address auto
                                                          CIFAR-10 as in the paper, on a running Ray cluster
  python -m study.run depth_sweep --log tensorboard       watch it; also mlflow, wandb (see docs/logs.md)
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
    asks.add_argument(
        "--compare",
        action="append",
        default=[],
        type=_assignment,
        metavar="FIELD=VALUE,VALUE..",
        help="compare these values of the field, whether the sweep does or not",
    )
    *asked, run = declared(Overrides)
    fresh, *others = declared(Options)
    add_options(asks, asked)
    how = parser.add_argument_group("how it is run")
    add_options(how, (run, fresh))
    how.add_argument("--dry-run", action="store_true", help="show cells, spaces and trials; start nothing")
    how.add_argument("--yes", action="store_true", help="begin without a question, however long it is to take")
    add_options(how, others)
    return parser


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
    named = load_sweep(options.sweep)
    with own_parts(named):
        plan = planned(named, options)
        return _dry_run(plan, options) if options.dry_run else _run(plan, options)


def own_parts(named: NamedSweep) -> AbstractContextManager[None]:
    """What lets fields take the names of the sweep's own parts; ValueError where one of those is not sound."""
    if not named.sweep.parts:
        return nullcontext()
    from study.training.own_parts import joined  # imports torch, which takes seconds
    from study.training.part_checks import checked

    return joined(checked(named.sweep.parts))


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
    from study.prepare import DeclinedError, prepared_run
    from study.tuner.display import Display

    how, display = read_options(Options, options), Display(plan)
    try:
        with prepared_run(plan, how, display.say) as prepared:
            if not prepared.studies.finished:
                _execute(prepared, how, display, agreed=options.yes)
    except DeclinedError as reason:
        display.say(f"Stopped: {reason}.")
        return FAILED
    except KeyboardInterrupt:
        display.say("\nInterrupted. What had finished is on disk; the same command goes on from there.")
        return INTERRUPTED
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:  # a full disk, a storage that is gone
        print(f"error: {_broken_off(plan, how, error)}", file=sys.stderr)
        return FAILED
    _sum_up(prepared.storage, display)
    return 0


def _sum_up(storage: "Storage", display: "Display") -> None:
    """Print the numbers, write the report, and end with the answer."""
    from study.report.opened_run import OpenedRun
    from study.report.page import write_report
    from study.report.summary import print_answer, print_summary

    run = OpenedRun.at(storage)
    print_summary(run, display.console)
    display.say(f"\nReport: {write_report(storage)}")
    print_answer(run, display.console)


def _broken_off(plan: Plan, how: Options, error: OSError) -> str:
    """What an error of the storage, or of this machine's disk, means for the run."""
    from study.store.run_file import LostRunError
    from study.store.storage import Storage

    if isinstance(error, LostRunError):
        return f"{error}."
    folder = Storage.at(how.storage).sub(plan.run).location
    return (
        f"run {folder} broke off: {error}. What had finished is safe; the same command goes on from there, "
        "once the cause is mended."
    )


def _execute(prepared: "PreparedRun", how: Options, display: "Display", *, agreed: bool) -> None:
    """Run what is missing. A whole run on this machine's CPU is forecast first, and the truth put beside it."""
    from study.forecast import forecast
    from study.launch import execute
    from study.store.run_file import record_duration

    foreseeable = not (prepared.finished_trials or prepared.begun or _elsewhere(how.address))
    expected = forecast(prepared.plan, prepared.data, _workers(how.workers)) if foreseeable else None
    if expected is not None:
        display.say(f"Forecast: about {spelled(expected.wall_seconds)} on {plural(expected.workers, 'worker')}.")
        _ask(expected.wall_seconds, agreed=agreed)
    started = time.monotonic()
    execute(prepared, how, display)
    if expected is not None and prepared.studies.finished:  # not where the time budget ended it
        record_duration(prepared.storage, expected.wall_seconds, time.monotonic() - started)


def _ask(seconds: float, *, agreed: bool) -> None:
    """Let whoever sits at the terminal decide on what takes long; DeclinedError where they would rather not."""
    from study.prepare import DeclinedError

    asked = seconds > LONG_SECONDS and not agreed and at_terminal()
    if asked and input("Begin? [y/N] ").strip().lower() not in ("y", "yes"):
        raise DeclinedError("nothing was begun; --dry-run shows what it would be, --yes begins without a question")


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
        raise ValueError("replay needs a run and a trial id: python -m study.run replay RUN TRIAL_ID")
    from rich.console import Console

    from study.replay import replay

    run, trial_id = options.replayed
    return 0 if replay(run, trial_id, options.data_dir, Console(highlight=False)) else FAILED


def _dry_run(plan: Plan, options: argparse.Namespace) -> int:
    """Show what would be run, and what it would take; the input is checked as for a run."""
    from study.prepare import checked_data, summaries

    data = checked_data(plan, read_options(Options, options))
    from study.dry_run import print_forecast, print_plan
    from study.forecast import forecast

    print_plan(plan)
    for line in (*plan.notes, *summaries(data)):
        print(line)
    print_forecast(plan, forecast(plan, data, _workers(options.workers)), elsewhere=_elsewhere(options.address))
    return 0


def _overrides(options: argparse.Namespace) -> Overrides:
    fields, compare = _each_once("--set", options.set), _each_once("--compare", options.compare)
    if options.dataset is not None:
        fields["dataset"] = options.dataset
    return read_options(Overrides, options, fields=fields, compare=compare)


def _each_once(option: str, assignments: list[tuple[str, str]]) -> dict[str, str]:
    fields = dict(assignments)
    if len(fields) < len(assignments):
        raise ValueError(f"{option} names a field twice: give all of its values at once, as in {option} depth=8,14")
    return fields


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
