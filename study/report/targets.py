"""How long nets take to an accuracy, and to that of their residual twins: blocks of the page, lines of the text."""

from collections.abc import Iterator

import pandas as pd

from study.analysis.scores import cell_name
from study.analysis.time_to_accuracy import time_to_accuracy, time_to_twin
from study.config import CONFIRM
from study.report.blocks import Block, interval, seconds, table
from study.report.opened_run import OpenedRun
from study.report.part import LINEAR, Part

TARGET_NOTE = "Until validation accuracy first reaches {target:.3f} (the linear baseline), over confirmed seeds. "
TWIN_NOTE = "Until validation accuracy first reaches what the residual twin of the same seed ends with. "
TWIN_CHOICE = (
    "Of several twins, the one that is most like the net in its activation and normalisation counts; a seed whose twin "
    "diverged is left out. "
)
TIMES_NOTE = (
    "Times are medians over all seeds, those included that never get there: their time is longer than their training. "
    "Intervals are exact, 95 %; those of medians take six seeds. Expected: with seeds that never get there run to the "
    "end and another begun."
)


def target_blocks(run: OpenedRun, part: Part) -> Iterator[Block]:
    """Time to the linear baseline, and to the twin's final accuracy, where there are such."""
    axes, epochs = part.names, _epochs(run, part)
    baseline = part.levels.get(LINEAR)
    if epochs.empty:
        return
    if baseline is not None:
        found = time_to_accuracy(part.trials, epochs, baseline, by=axes)
        note = TARGET_NOTE.format(target=baseline) + TIMES_NOTE
        yield _table("Time to the accuracy of the linear baseline", found, axes, note)
    twins = time_to_twin(part.trials, epochs, by=axes)
    if len(twins):
        yield _table("Time to the twin's accuracy", twins, [*axes, "twin"], TWIN_NOTE + TWIN_CHOICE + TIMES_NOTE)


def twin_lines(run: OpenedRun, part: Part) -> Iterator[str]:
    """What `target_blocks` says of twins, a line for each net that gets there."""
    epochs = _epochs(run, part)
    twins = pd.DataFrame() if epochs.empty else time_to_twin(part.trials, epochs, by=part.names)
    if twins.empty:
        return
    yield "\nTime to what the residual twin of the same seed ends with; shares of seeds with exact 95 % intervals:"
    for _, row in twins[twins["reached"] > 0].iterrows():
        share = interval(row["reached"] / row["seeds"], row["reached_low"], row["reached_high"])
        times = f", {row['steps_to_target']:.0f} steps, {seconds(row['seconds_to_target'])}"
        reached = f"{row['reached']} of {row['seeds']} seeds reach {row['target']:.3f} in the mean, {share}"
        known = "" if pd.isna(row["steps_to_target"]) else times
        yield f"- {cell_name(row, part.names)}: {reached}{known}"
    never = [cell_name(row, part.names) for _, row in twins[twins["reached"] == 0].iterrows()]
    if never:
        yield f"- in no seed: {', '.join(never)}"


def _epochs(run: OpenedRun, part: Part) -> pd.DataFrame:
    """Read what times are told by, of the confirmed trials."""
    confirmed = part.trials[part.trials["phase"] == CONFIRM]
    return run.epochs(confirmed["trial_id"].tolist(), ("epoch", "seconds", "val_accuracy"))


def _table(title: str, found: pd.DataFrame, axes: list[str], note: str) -> Block:
    words = {name: [seconds(value) for value in found[name]] for name in ("seconds_to_target", "expected_seconds")}
    shown = found.assign(share=found["reached"] / found["seeds"], **words)
    columns = {name: name for name in axes} | {
        **{"target": "target", "device": "device", "reached": "seeds that get there", "seeds": "of"},
        "share~reached_low~reached_high": "share",
        "steps_to_target~steps_to_target_low~steps_to_target_high": "steps, median",
        **{"seconds_to_target": "time, median", "expected_seconds": "time, expected"},
    }
    return table(title, shown, columns, note=note, folded=True)
