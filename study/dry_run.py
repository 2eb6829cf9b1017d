"""What `--dry-run` prints: what the cells share, what each recipe sets, what is searched, what it will take."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from search_spaces.sweep import Fields
from study.config import CONFIRM
from study.forecast import GPU_BYTES, Forecast
from study.planning.cell import PlannedCell
from study.planning.plan import Plan
from study.planning.settings import acting
from study.terminal import listing_console, plural, spelled
from study.training.memory import PROCESS_BYTES, gpu_share

MAX_NAME = 40  # columns that a cell's name takes before it is folded
NO_RECIPE = ""  # the one group of cells where no recipes are compared


def print_plan(plan: Plan, console: Console | None = None) -> None:
    """What would be run. What several cells have in common is said once."""
    console = console or listing_console()
    shared, spaces = common(map(own_fields, plan.cells)), _spaces(plan.cells)
    recipes = {name: common(map(own_fields, cells)) for name, cells in _by_recipe(plan.cells).items()}
    lines = [f"{plan.run}: {plan.question}", "", f"Every trial: {_listed(shared)}"]
    lines += [f"{name}: {_listed(_without(own, shared)) or 'as above'}" for name, own in recipes.items() if name]
    lines += ["", *(f"Searched: {name} {words}" for name, words in spaces.items())]
    lines += [*_lengths(plan.cells), ""]
    for line in lines:
        console.print(line, markup=False)
    console.print(_cell_table(plan, recipes, spaces))
    more = "; more cells follow from what these give" if plan.is_adaptive else ""
    counts = f"{plural(len(plan.cells), 'cell')}, {plural(plan.trial_count, 'trial')}"
    console.print(f"\n{counts}{more}. Nothing was started.\n", markup=False)


def print_forecast(plan: Plan, taken: Forecast, *, elsewhere: bool, console: Console | None = None) -> None:
    """What each depth takes, and the whole; how many trials fit a GPU where trials may run on one."""
    console = console or listing_console()
    table = Table(box=None, pad_edge=False)
    headings = [
        "depth",
        "seconds an epoch",
        "MB a trial",
        *([f"trials on {GPU_BYTES / 1e9:.0f} GB"] if elsewhere else []),
    ]
    for heading in headings:
        table.add_column(heading, justify="right")
    memory = _by_depth(plan, taken.trial_bytes)
    for depth, seconds in _by_depth(plan, taken.epoch_seconds).items():
        row = [str(depth), f"{seconds:.2f}", f"{memory[depth] / 1e6:.0f}"]
        fitting = round(1 / gpu_share(memory[depth], GPU_BYTES))
        table.add_row(*row, *([str(fitting)] if elsewhere else []))
    console.print(table)
    told = (
        f"\nForecast: about {spelled(taken.wall_seconds)} on {plural(taken.workers, 'worker')}, from a short "
        f"probe of this machine's CPU, one thread a trial. Each worker takes {PROCESS_BYTES / 1e6:.0f} MB of its own."
    )
    console.print(told, markup=False)


def own_fields(cell: PlannedCell) -> Fields:
    """The fixed fields of all trials of a cell that its name does not tell; what is null does not act."""
    told = {**cell.compared, **cell.search_fixed}
    return {name: value for name, value in cell.fixed.items() if name not in told and value is not None}


def common(fields: Iterable[Fields]) -> Fields:
    """The fields that all have, with one value."""
    first, *others = fields
    return {name: value for name, value in first.items() if all(name in one and one[name] == value for one in others)}


def _by_recipe(cells: Iterable[PlannedCell]) -> dict[str, list[PlannedCell]]:
    groups: dict[str, list[PlannedCell]] = {}
    for cell in cells:
        groups.setdefault(cell.compared.get("recipe", NO_RECIPE), []).append(cell)
    return groups


def _spaces(cells: Iterable[PlannedCell]) -> dict[str, str]:
    """Searched field to its space in words, where all cells that search it share one."""
    found: dict[str, set[str]] = {}
    for cell in cells:
        for name, space in cell.search.items():
            found.setdefault(name, set()).add(in_words(space))
    return {name: words.pop() for name, words in found.items() if len(words) == 1}


def _lengths(cells: Sequence[PlannedCell]) -> Iterator[str]:
    """What search trials have otherwise than confirmations, and in how many cells where not in all."""
    told = Counter(
        (_listed(acting(cell.search_fixed)), _listed(acting({name: cell.fixed[name] for name in cell.search_fixed})))
        for cell in cells
        if cell.search_fixed
    )
    for (searched, confirmed), count in told.items():
        where = "" if count == len(cells) else f" ({plural(count, 'cell')})"
        yield f"Search trials: {searched}; confirmations: {confirmed}{where}"


def _cell_table(plan: Plan, told: Mapping[str, Fields], spaces: Mapping[str, str]) -> Table:
    """Cells, their first trial and counts; cells alike are one row, and what is told above is not told again.

    Args:
        plan: the run.
        told: recipe to the fields that it and all others set.
        spaces: what `_spaces` found.
    """
    rows: dict[tuple[str, str, str], list[str]] = {}
    for cell in plan.cells:
        own = _without(own_fields(cell), told[cell.compared.get("recipe", NO_RECIPE)])
        known = (_listed({name: cell.default_point[name]}) + _unless_told(name, cell, spaces) for name in cell.search)
        words = (", ".join(known) or "nothing is searched") + (f"; fixed {_listed(own)}" if own else "")
        entry = (words, str(plan.trials_of(cell)), str(plan.confirmations_of(cell)))
        rows.setdefault(entry, []).append(cell.name)
    table = Table(box=None, pad_edge=False)
    longest = max(len(cell.name) for cell in plan.cells)
    table.add_column("each cell", overflow="fold", min_width=min(longest, MAX_NAME))
    for heading in ("first trial", "trials", "confirmations"):
        table.add_column(heading, overflow="fold")
    for entry, names in rows.items():
        table.add_row(*map(escape, ("\n".join(names), *entry)))
    return table


def _unless_told(field: str, cell: PlannedCell, spaces: Mapping[str, str]) -> str:
    return "" if field in spaces else f" of {in_words(cell.search[field])}"


def in_words(space: Any) -> str:
    """A search space: `0.003 .. 0.3 (log)`, or the choices."""
    if isinstance(space, CategoricalDistribution):
        return " | ".join(map(_value, space.choices))
    step = f" in steps of {_value(space.step)}" if space.step not in (None, 1) else ""
    return f"{_value(space.low)} .. {_value(space.high)}{' (log)' if space.log else ''}{step}"


def _without(fields: Fields, others: Mapping[str, Any]) -> Fields:
    return {name: value for name, value in fields.items() if name not in others}


def _listed(fields: Fields) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(value: Any) -> str:
    """A value in the form that `--set` takes."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _by_depth(plan: Plan, values: dict[str, float]) -> dict[int, float]:
    """The largest value at each depth."""
    largest: dict[int, float] = {}
    for cell in plan.cells:
        depth = cell.examples[CONFIRM].depth
        largest[depth] = max(values[cell.name], largest.get(depth, 0.0))
    return dict(sorted(largest.items()))
