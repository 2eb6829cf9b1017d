"""The command line: `python -m study.bench` measures what the study costs on this machine."""

import argparse
import json
import os
import pkgutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from study.bench.measurement import CAPTION, Setting, as_json, section_table, verdict

PLAIN_WIDTH = 150
QUIET = {"KINETO_LOG_LEVEL": "99", "TORCH_CPP_LOG_LEVEL": "ERROR"}  # torch's profiler otherwise writes to stderr


@dataclass(frozen=True)
class Section:
    """One table of the bench.

    Attributes:
        title: what it asks.
        measure: module of this package and function that yields its rows; imported only when it is measured.
        on_gpu: whether it is measured on a GPU too.
    """

    title: str
    measure: str
    on_gpu: bool = False


SECTIONS = {
    "steps": Section("What orthonormality and modulation add to a training step", "steps:measure", on_gpu=True),
    "loop": Section("An epoch beside the loop that people usually write", "loop:measure", on_gpu=True),
    "precision": Section("Whether bf16 costs accuracy", "loop:measure_precision"),
    "throughput": Section(
        "Images a second, share of the machine's peak, operator calls, memory", "throughput:measure", on_gpu=True
    ),
    "machine": Section("What Ray, Optuna and the tables cost a trial", "machine:measure"),
    "scaling": Section("How many trial ends a second one driver serves on several nodes", "machine:measure_scaling"),
    "tables": Section("Readers and report of a large run", "tables:measure"),
}

DESCRIPTION = "Measures what the study costs on this machine: steps, epochs, trials, reports. Changes nothing."
EPILOG = """\
sections:
{sections}

examples:
  python -m study.bench --quick                       everything in under ten minutes on two cores
  python -m study.bench --only steps,loop             two sections, with many rounds and so narrow intervals
  python -m study.bench --quick --json bench.json     the same numbers for a machine to read

Subjects that are compared take turns in one run, and a ratio compares each round with itself, so that a busy machine
hits all of them alike. CPU times are processor time of one thread. Still, a quiet machine gives narrower intervals:
the load average stands above each table. With a GPU, nets are measured there too; targets are for one CPU thread."""


def build_parser() -> argparse.ArgumentParser:
    """The command line's options; `python -m study.bench --help` shows them."""
    lines = "\n".join(f"  {name:11} {section.title}" for name, section in SECTIONS.items())
    parser = argparse.ArgumentParser(
        prog="python -m study.bench",
        description=DESCRIPTION,
        epilog=EPILOG.format(sections=lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="few rounds: under ten minutes in all")
    parser.add_argument("--only", type=_sections, metavar="NAME[,NAME..]", help="these sections (all)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write everything there")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code, 0 also where targets are missed."""
    options = build_parser().parse_args(arguments)
    bench(options.only or tuple(SECTIONS), quick=options.quick, json_path=options.json, console=_console())
    return 0


def _console() -> Console:
    """A console as wide as the terminal, or wide enough for every table where there is none."""
    return Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)


def bench(names: Sequence[str], *, quick: bool, json_path: Path | None, console: Console) -> None:
    """Measure the sections in turn, showing each as soon as it is done."""
    os.environ.update(QUIET)
    import torch

    from study.training.memory import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()  # as trials do
    facts = _facts(quick)
    console.print("  ".join(f"{name} {value}" for name, value in facts["machine"].items()), highlight=False)
    console.print("  ".join(f"{name} {value}" for name, value in facts["versions"].items()), highlight=False)
    measured = {}
    for name in names:
        for device in ("cpu", "cuda") if SECTIONS[name].on_gpu and torch.cuda.is_available() else ("cpu",):
            key = name if device == "cpu" else f"{name} on {device}"
            measured[key] = _section(name, device, quick, console)
            if json_path is not None:
                json_path.write_text(json.dumps(as_json(facts, measured), indent=2) + "\n")
    console.print(f"\n{CAPTION}", highlight=False)
    console.print(verdict([row for section in measured.values() for row in section["rows"]]), highlight=False)


def _section(name: str, device: str, quick: bool, console: Console) -> dict[str, Any]:
    """Measure one section on one device and show its table."""
    import torch

    section = SECTIONS[name]
    started, load = time.monotonic(), os.getloadavg()[0]
    with console.status(name) as status:

        def say(text: str) -> None:
            status.update(f"{name}: {text}")
            if not console.is_terminal:
                console.print(f"{name}: {text}", highlight=False, style="dim")

        measure = pkgutil.resolve_name(f"{__package__}.{section.measure}")
        rows = list(measure(Setting(quick, torch.device(device), say)))
    seconds = round(time.monotonic() - started)
    title = f"{section.title} ({name}, {device}, load {load:.1f}, {seconds} s)"
    console.print(f"\n{title}", style="bold", highlight=False)
    console.print(section_table(rows))
    return {"title": section.title, "device": device, "load": load, "seconds": seconds, "rows": rows}


def _facts(quick: bool) -> dict[str, Any]:
    """The facts of the machine and the versions."""
    import torch

    from study.store.provenance import machine, provenance

    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "quick": quick,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine() | gpu,
        "versions": provenance(),
    }


def _sections(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in SECTIONS:
            raise argparse.ArgumentTypeError(f"no section {name!r}: there are {', '.join(SECTIONS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
