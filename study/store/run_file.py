"""run.json: what a run declares, on which data and where. Whose declaration or data have changed is refused."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from study.datasets.folder_listing import few
from study.datasets.splits import Fingerprint
from study.planning.cell import PlannedCell, default_fields
from study.planning.command import command_of
from study.planning.plan import Plan
from study.store.provenance import machine, provenance
from study.store.storage import RUN_FILE, Storage, read_json, write_json

SHOWN_DIFFERENCES = 8
REPAIR = "Put a copy of it back; or --fresh starts the run anew, and --run NAME another one."


def open_run_file(
    storage: Storage, plan: Plan, fingerprints: Mapping[str, Fingerprint] | None = None
) -> dict[str, Any]:
    """The run's file, made when there is none; how it is asked for is brought up to the plan's.

    Args:
        storage: of the run.
        plan: what is asked now.
        fingerprints: of the data sets as they are now, by name; None: not loaded yet. A run of a version that kept
            none takes them over.

    Raises:
        ValueError: the run on disk declares something else, or was made on other data; the message shows the
            differences and the ways on.
    """
    data = dict(fingerprints or {})
    if not storage.exists(RUN_FILE):
        return _new(plan) | {"data": data}
    content = read_run_file(storage, "declaration")
    try:
        old = _completed(content["declaration"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(damaged(storage, f"its declaration is none: {type(error).__name__}: {error}")) from None
    known = content.get("data", {})
    differences = [
        *_differences(old, _completed(plan.declaration())),
        *_differences(known, {name: data.get(name, kept) for name, kept in known.items()}, ("data",)),
    ]
    if differences:
        raise ValueError(_refusal(plan, differences, command_of(content, plan.run)))
    return content | {"data": {**known, **data}} | _asked(plan, content.get("confirm_seeds"))


def read_run_file(storage: Storage, *keys: str) -> dict[str, Any]:
    """The run's file; ValueError, with the ways on, where it is damaged or lacks one of these keys."""
    try:
        content = read_json(storage, RUN_FILE)
    except ValueError as error:
        raise ValueError(f"{error}. {REPAIR}") from None
    for key in keys:
        if content.get(key) is None:
            raise ValueError(damaged(storage, f"it has no {key}"))
    return content


class LostRunError(OSError):
    """The folder of a run that is going on is no longer this run's."""


def check_there(storage: Storage, created_at: Any, finished: str = "") -> None:
    """Look whether the run is still where it was begun: whoever writes without it makes half a run.

    Args:
        storage: of the run.
        created_at: what its file said when this start began.
        finished: what is lost with it, in words.

    Raises:
        LostRunError: its file is gone, or is another run's, or nobody can tell which.
    """
    try:
        if read_json(storage, RUN_FILE).get("created_at") == created_at:
            return
    except (FileNotFoundError, ValueError):
        pass
    except OSError:  # a store that is silent for a moment, which is for those to bear who write
        return
    lost = f", and with it {finished}" if finished else ""
    raise LostRunError(
        f"{storage.location} was deleted, moved, unmounted or replaced while its run was going on{lost}. "
        "Put it back, and the same command goes on from there; without it, the same command begins the run anew"
    )


def damaged(storage: Storage, reason: str) -> str:
    """What is wrong with the run's file, and what repairs it."""
    return f"{storage.sub(RUN_FILE).location} is damaged: {reason}. {REPAIR}"


def save_run_file(storage: Storage, content: Mapping[str, Any]) -> None:
    """Write run.json."""
    write_json(storage, RUN_FILE, content)


def record_duration(storage: Storage, forecast_seconds: float, measured_seconds: float) -> None:
    """Put the wall clock of a run that was done in one go beside its forecast."""
    wall_clock = {"forecast_seconds": round(forecast_seconds, 1), "measured_seconds": round(measured_seconds, 1)}
    save_run_file(storage, read_run_file(storage) | {"wall_clock": wall_clock})


def _new(plan: Plan) -> dict[str, Any]:
    return {
        "run": plan.run,
        "question": plan.question,
        "compared": {cell.name: cell.compared for cell in plan.cells},
        "declaration": plan.declaration(),
        **_asked(plan, None),
        "published_test_error": dict(plan.published),
        "published_remarks": dict(plan.remarks),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": provenance(),
        "machine": machine(),
        "linear_baseline": {},
        "nearest_neighbor_baseline": {},
    }


def confirm_seeds(plan: Plan, cells: Iterable[PlannedCell], known: Any) -> int | dict[str, int]:
    """Confirmations of every cell: one number, or where they have numbers of their own, cell to number.

    Args:
        plan: the run.
        cells: those that are planned by now.
        known: what the run's file says; it keeps the cells that an adaptive sweep has not reached again yet.
    """
    counts = {cell.name: plan.confirmations_of(cell) for cell in cells}
    if plan.confirm_seeds is not None and set(counts.values()) <= {plan.confirm_seeds}:
        return plan.confirm_seeds
    return {**known, **counts} if isinstance(known, dict) else counts


def _asked(plan: Plan, known_seeds: Any) -> dict[str, Any]:
    """What is no part of the declaration: how much of each cell is run, what the user set, the scale's caveat."""
    return {
        "trials_per_cell": plan.trials_per_cell,
        "confirm_seeds": confirm_seeds(plan, plan.cells, known_seeds),
        "settings": dict(plan.settings),
        "compared_settings": dict(plan.compared_settings),
        "caveat": plan.caveat,
        "sweep_file": plan.sweep_file,
        **({"code": list(plan.code)} if plan.code else {}),
    }


def _completed(declaration: dict[str, Any]) -> dict[str, Any]:
    """The declaration with the fields that its version did not know yet, at their defaults."""
    defaults = json.loads(json.dumps(default_fields()))
    cells = {
        name: {**cell, "fixed": {**defaults, **dict.fromkeys(cell["search"]), **cell["fixed"]}}
        for name, cell in declaration["cells"].items()
    }
    return {**declaration, "cells": cells}


def _differences(old: Any, new: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Paths at which two JSON values differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _differences(old.get(key), new.get(key), (*path, key))
    elif old != new:
        yield path, old, new


def _refusal(plan: Plan, differences: list[tuple[tuple[str, ...], Any, Any]], command: str) -> str:
    """The message for a changed declaration or other data; the same change in many cells is one line."""
    other_data = all(path[0] == "data" for path, *_ in differences)
    what = "was made on other data" if other_data else "declares something else"
    reuse = "" if other_data else f", with --reuse {plan.run} from the trials of this one that lie inside it"
    lines = Counter(_describe(path, old, new) for path, old, new in differences)
    shown = [line if count == 1 else f"{line} ({count} cells)" for line, count in lines.items()]
    if len(shown) > SHOWN_DIFFERENCES:
        shown[SHOWN_DIFFERENCES:] = [f"and {len(shown) - SHOWN_DIFFERENCES} more"]
    changes = "\n".join(f"  {line}" for line in shown)
    return (
        f"the run's own command is\n  {command}\nrun {plan.run} exists and {what} (old -> new):\n{changes}\n"
        f"Nothing was changed. Ways on: --run NAME starts another run{reuse}; --fresh deletes this one and begins anew."
    )


def _describe(path: tuple[str, ...], old: Any, new: Any) -> str:
    if path[-1] == "class_names":
        gone, added = ([name for name in one if name not in set(other)] for one, other in ((old, new), (new, old)))
        return f"{'.'.join(path)}: {few(gone) or 'none'} -> {few(added) or 'none'}"
    if path == ("parts", "code"):
        return f"the code of the sweep's own parts has changed: {old} -> {new}"
    if path[0] == "cells" and len(path) > 2:
        return f"{'.'.join(path[2:])}: {old!r} -> {new!r}"
    if path[0] == "cells":
        return f"cell {path[1]}: {'added' if old is None else 'gone'}"
    return f"{'.'.join(path)}: {old!r} -> {new!r}"
