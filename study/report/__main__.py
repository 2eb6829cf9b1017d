"""`python -m study.report RUN`: a run as a page, as text, as figures, or for other tools. Never Ray or torch."""

import argparse
import sys
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.analysis.propagation import LAYER_COLUMNS, last_epoch, layer_profiles
from study.config import CONFIRM
from study.planning.plan import REFERENCE
from study.report.export import EXPORTS, export_run
from study.report.figures import FORMATS, depth_curve_figure, save_figure
from study.report.layer_figures import error_figure, singular_value_figure
from study.report.opened_run import OpenedRun, open_run
from study.report.page import REPORT, write_report
from study.report.part import Part
from study.report.run_list import COLUMNS, list_runs
from study.report.summary import print_text
from study.report.watch import watch
from study.store.locations import redacted_uri, safe_name
from study.store.storage import RESULTS, Storage
from study.terminal import Parser, exit_code, listing_console

NARROW = 110  # a terminal of fewer columns shows no times, so that names need not be folded; nothing is ever cut

DESCRIPTION = "Shows a run, finished or still going: writes RUN/report.html, one file that needs no network."
EPILOG = """\
examples:
  python -m study.report                                    list the runs
  python -m study.report --storage s3://bucket/studies      those in a store; show one: s3://bucket/studies/RUN
  python -m study.report depth_sweep-quick --open           write the page and open it in the browser
  python -m study.report mine --watch --open                the page of a run that is going, always up to date
  python -m study.report depth_sweep-quick --text           the same answer in the terminal
  python -m study.report mine --compare depth_sweep-quick   the page, with a section beside the other run
  python -m study.report mine --figures figures/            PNG and SVG for a paper
  python -m study.report mine --export csv                  the tables for other tools

RUN is a name under results/ or results/reference/, a path, or a URI."""

OPEN_HELP = (
    f"open the page in a browser; of a committed run ({RESULTS}/{REFERENCE}/) a temporary one, for looking changes "
    "nothing there"
)


def build_parser() -> argparse.ArgumentParser:
    """The command line's options; `python -m study.report --help` shows them."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m study.report", description=DESCRIPTION, epilog=EPILOG, formatter_class=shape)
    add = parser.add_argument
    add("run", nargs="?", metavar="RUN", help="a run; without one, the runs are listed")
    add("--open", action="store_true", help=OPEN_HELP)
    add("--watch", action="store_true", help="write the page anew as trials finish, until the run is over or Ctrl-C")
    add("--compare", metavar="RUN2", help="add a section that sets the run beside this one")
    add("--text", action="store_true", help="print the answer here instead of writing the page")
    add("--figures", type=Path, metavar="DIR", help="write PNG and SVG figures instead of the page")
    add("--storage", metavar="URI", help=f"the folder or URI whose runs are listed ({RESULTS})")
    add("--export", choices=EXPORTS, help="write RUN/export/ in another tool's format instead of the page")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = build_parser().parse_args(arguments)
    command = _print_runs if options.run is None else _report
    return exit_code(lambda: command(options), (ValueError, OSError))


def _report(options: argparse.Namespace) -> int:
    """Do what the options ask of one run; the page where they ask for nothing else, or for it."""
    if options.storage:
        raise ValueError(
            f"--storage lists the runs there; one of them is named by its path or URI, as in URI/{options.run}"
        )
    run = open_run(options.run)
    if options.text:
        print_text(run, Console())
    if options.figures is not None:
        for path in write_figures(run, options.figures):
            print(path)
    if options.export is not None:
        print(export_run(run, options.export))
    elsewhere = options.text or options.figures is not None or options.export is not None
    if options.open or options.compare or options.watch or not elsewhere:
        _write_page(run, options)
    return 0


def _write_page(run: OpenedRun, options: argparse.Namespace) -> None:
    """Write the page beside the tables and say where; a committed run's elsewhere, where it is only looked at."""
    if options.watch and options.compare:
        raise ValueError("--watch shows one run, and --compare two: give one of them")
    looking = options.open or options.watch
    committed = run.storage.parent.name == REFERENCE
    folder = Storage.at(_temporary()) if looking and committed else run.storage
    other = open_run(options.compare) if options.compare else None
    lines = watch(run, folder) if options.watch else iter([write_report(run.storage, other, folder)])
    for number, line in enumerate(lines):
        print(line, flush=True)
        if options.open and number == 0:
            webbrowser.open(_as_file(folder).as_uri())


def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="study-"))


def _as_file(folder: Storage) -> Path:
    """The page where a browser can open it: a copy of it, if it is not in a folder here."""
    if folder.is_local:
        return Path(folder.location) / REPORT
    copy = _temporary() / REPORT
    copy.write_bytes(folder.read(REPORT))
    return copy


def write_figures(run: OpenedRun, folder: Path) -> list[Path]:
    """Every figure as PNG and SVG; returns their paths."""
    figures = ((name, figure) for part in run.parts for name, figure in _figures(run, part))
    return [
        save_figure(figure, folder / f"{safe_name(name)}{suffix}") for name, figure in figures for suffix in FORMATS
    ]


def _figures(run: OpenedRun, part: Part) -> Iterator[tuple[str, Figure]]:
    title = f"{run.name} on {part.dataset}"
    yield f"depth_curve-{part.dataset}", depth_curve_figure(part.curve, part.baselines, title, part.styles)
    confirmed = part.trials[part.trials["phase"] == CONFIRM]
    by = ["depth", *part.lines]
    layers = run.layers(confirmed["trial_id"].tolist(), LAYER_COLUMNS)
    profiles = last_epoch(layer_profiles(layers, confirmed, by=by), by=by)
    if len(profiles):
        yield f"error_by_layer-{part.dataset}", error_figure(profiles, part.styles, f"{title}: error by layer")
        values = singular_value_figure(profiles, part.styles, f"{title}: singular values of the filter banks")
        yield f"singular_values-{part.dataset}", values


def _print_runs(options: argparse.Namespace) -> int:
    """The list of runs; ValueError where something is asked of a run and none is named."""
    asked = [f"--{name}" for name, value in vars(options).items() if value and name != "storage"]
    if asked:
        raise ValueError(f"which run? {asked[0]} needs one: python -m study.report RUN {asked[0]}")
    runs = list_runs(options.storage or RESULTS)
    if runs.empty:
        print(
            f"No run under {redacted_uri(options.storage or RESULTS)}/ yet. Start one: python -m study.run depth_sweep"
        )
        return 0
    console = listing_console()
    columns = COLUMNS if console.width >= NARROW else [name for name in COLUMNS if name != "last_written"]
    table = Table(box=None, pad_edge=False)
    whole = min(runs["run"].str.len().max(), console.width // 2)  # names are folded last
    for heading in columns:
        least = whole if heading == "run" else None
        table.add_column(heading.replace("_", " "), overflow="fold", min_width=least)
    for row in runs[columns].itertuples(index=False):
        table.add_row(*map(escape, row))
    console.print(table)
    print("\nShow one: python -m study.report RUN --open")
    return 0


if __name__ == "__main__":
    sys.exit(main())
