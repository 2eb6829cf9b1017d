"""All that is checked and made ready before Ray starts: storage, run.json, earlier results, data, baselines."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from study.config import Proxy, TrialConfig, parse_config
from study.datasets import AnyData, MissingDataset, StreamedData, find_dataset, load_dataset, missing_message
from study.options import Options
from study.planning.cell import PlannedCell
from study.planning.plan import Plan
from study.records import locate_run, read_arrow, recover
from study.search.cells import CellStudies
from study.search.journal import export_journal, is_whole
from study.search.optuna_trials import FinishedTrial, finished_trials
from study.search.reuse import check_source, take_over
from study.store.checkpoints import Checkpoints
from study.store.code import write_code
from study.store.lock import run_lock
from study.store.provenance import provenance
from study.store.run_file import check_there, confirm_seeds, open_run_file, read_run_file, save_run_file
from study.store.schemas import Row
from study.store.storage import JOURNAL, RUN_FILE, Storage, read_json
from study.store.tool_logs import check_place, tools_of
from study.terminal import plural


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready to start.

    Attributes:
        begun: trials that have a checkpoint to go on from, and the config that they began with.
        created_at: what tells this run from another of its name.
    """

    plan: Plan
    storage: Storage
    studies: CellStudies
    data: dict[str, AnyData]
    provenance: dict[str, str]
    finished_trials: list[FinishedTrial]
    begun: dict[str, TrialConfig] = field(default_factory=dict)
    created_at: str | None = None

    @property
    def has_checkpoints(self) -> bool:
        """Whether a trial may write one or go on from one: of cells that are yet to come, nobody knows."""
        return bool(self.begun) or self.plan.is_adaptive or any(map(_checkpoints, self.plan.cells))


class DeclinedError(ValueError):
    """The user would rather not begin this run."""


@contextmanager
def prepared_run(plan: Plan, options: Options, say: Callable[[str], None]) -> Iterator[PreparedRun]:
    """Check and load all that a run needs, and hold its lock; at the end, however it comes, export the journal.

    A driver that has lost the run to another leaves what lies there alone.

    Raises:
        ValueError: unknown names, storage that cannot be read or written, a changed declaration, a missing data set, or
            another driver at work on the run.
        RuntimeError: another driver has taken the run over.
        LostRunError: its folder was deleted or replaced meanwhile.
    """
    storage = Storage.at(options.storage).sub(plan.run)
    check_place(tools_of(options.log), storage)
    if not options.fresh:
        _refuse_changed(storage, plan)
    data = checked_data(plan, options)
    storage.check_writable()
    with run_lock(storage, say) as check_held, (replaced if options.fresh else taken_back)(storage):
        prepared = _prepare(plan, options, storage, data, say)
        try:
            yield prepared
        finally:
            check_held()
            _close(prepared)


def _refuse_changed(storage: Storage, plan: Plan) -> None:
    """Tell of a changed declaration, or of a storage without a way to it, at once: before the lock and the data."""
    try:
        open_run_file(storage, plan)
    except OSError as error:
        raise ValueError(f"storage {storage.location} cannot be read: {error}") from error


def checked_data(plan: Plan, options: Options) -> dict[str, AnyData]:
    """The data sets of a plan that is sound; what is quickly checked comes first.

    Raises:
        ValueError: an unfit search method, a missing or damaged data set, an unknown name, or images that a set does
            not have.
    """
    options.method.check(plan.objectives)
    for name in plan.datasets:
        message = missing_message(name, options.data_dir)
        if message is not None:
            raise MissingDataset(message)
    from study.planning.names import check_names  # imports torch, which takes seconds

    check_names(plan)
    data = {name: load_dataset(name, options.data_dir) for name in plan.datasets}
    _check_proxies(plan, data)
    return data


def summaries(data: Mapping[str, AnyData]) -> Iterator[str]:
    """A line for each set of the user's own: what was found in it, and of a folder what was left out."""
    return (loaded.summary for name, loaded in data.items() if find_dataset(name).is_own)


def _unknown_splits(storage: Storage, data: Mapping[str, AnyData]) -> Iterator[str]:
    """A warning where an older version's run goes on: it kept no fingerprint, and drew a folder's split otherwise."""
    if storage.exists(RUN_FILE) and "data" not in read_json(storage, RUN_FILE):
        for name, loaded in data.items():
            if isinstance(loaded, StreamedData):
                yield f"{name}: the run's earlier trials saw another split of this folder; --fresh begins anew"


def _check_proxies(plan: Plan, data: Mapping[str, AnyData]) -> None:
    """Refuse an image size or a number of training images, fixed or at an end of a search, that the set lacks."""
    from study.planning.names import values_of
    from study.training.proxies import check_proxy

    for cell in plan.cells:
        largest = max(values_of(cell, "batch_size"))
        for values in itertools.product(*(values_of(cell, name) for name in Proxy._fields)):
            proxy = Proxy(*values)
            try:
                check_proxy(data[proxy.dataset], proxy, largest)
            except ValueError as error:
                raise ValueError(f"cell {cell.name}: {error}") from None


@contextmanager
def taken_back(storage: Storage) -> Iterator[None]:
    """Leave nothing of a run that is new where the user declines it."""
    was_there = storage.exists(RUN_FILE)
    try:
        yield
    except DeclinedError:
        if not was_there:
            storage.delete_folder()
        raise


@contextmanager
def replaced(storage: Storage) -> Iterator[None]:
    """Begin with an empty folder. What lay there is gone once the input has proved sound, else put back.

    Raises:
        ValueError: what lies there is no run.
    """
    if not storage.exists(RUN_FILE):
        if storage.names("", hidden=True) or storage.folders(""):  # more than the folder that the check has made
            raise ValueError(f"--fresh deletes runs only, and {storage.location} has no {RUN_FILE}")
        with taken_back(storage):
            yield
        return
    aside = storage.beside(f".{storage.name}.replaced")
    aside.delete_folder()
    storage.move_folder(aside)
    try:
        yield
    except ValueError:
        storage.delete_folder()
        aside.move_folder(storage)
        raise
    finally:
        aside.delete_folder()


def _prepare(
    plan: Plan, options: Options, storage: Storage, data: dict[str, AnyData], say: Callable[[str], None]
) -> PreparedRun:
    storage.remove_temporary((), files=(RUN_FILE, JOURNAL))
    notes = [*plan.notes, *summaries(data), *_unknown_splits(storage, data)]
    content = open_run_file(storage, plan, {name: loaded.fingerprint for name, loaded in data.items()})
    for line in (f"{plan.run}: {plan.question}", *notes):
        say(line)
    content |= _baselines(plan, data, content, say)
    content |= {"sampler": options.method.sampler, "scheduler": options.method.scheduler}
    write_code(storage, plan.code)
    save_run_file(storage, content)
    failed = recover(storage, say)
    if failed:
        say(f"{plural(len(failed), 'trial')} of an earlier start failed: open again.")
    _tell_of_losses(storage, say)
    if options.reuse is not None:
        _reuse(locate_run(options.reuse), storage, plan, content["data"], say)
    finished = read_finished(storage)
    begun = Checkpoints(storage).begun({trial.row["trial_id"] for trial in finished}, say)
    points = {row["trial_id"]: _config(row) for row in failed}
    studies = CellStudies(plan, finished, options.method, _validation(content["linear_baseline"]), points | begun)
    if storage.is_local:  # a store cannot append to it, and gets it at the end
        export_journal(storage, plan.objectives, studies.planned.values(), finished)
    return PreparedRun(
        plan=plan,
        storage=storage,
        studies=studies,
        data=data,
        provenance=provenance(),
        finished_trials=finished,
        begun=begun,
        created_at=content.get("created_at"),
    )


def _tell_of_losses(storage: Storage, say: Callable[[str], None]) -> None:
    """Say what is no longer there although nothing is damaged: somebody has taken it away."""
    trials = read_arrow(storage, "trials", columns=["trial_id", "epochs_completed"]).to_pylist()
    rows = Counter(read_arrow(storage, "epochs", columns=["trial_id"])["trial_id"].to_pylist())
    lacking = [row["trial_id"] for row in trials if rows[row["trial_id"]] < (row["epochs_completed"] or 0)]
    if lacking:
        say(
            f"Table epochs has lost rows of {plural(len(lacking), 'trial')}, such as {lacking[0]}: curves lack them. "
            "They come back only with a copy of the table, or with --fresh."
        )
    if storage.exists(JOURNAL) and not is_whole(storage):
        say(f"{JOURNAL} is damaged: it is written anew.")


def _reuse(other: Storage, storage: Storage, plan: Plan, data: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Take over what another run has finished; ValueError where it is this one, or of other data or code."""
    if other.location == storage.location:
        raise ValueError(f"--reuse {plan.run} names this run itself: --run NAME begins the one that reuses it")
    check_source(other.name, read_run_file(other, "declaration"), plan, data)
    from study.store.weights import copy_weights  # imports torch

    taken = take_over(other, storage, plan)
    for old_id, new_id in taken.items():
        copy_weights(other, old_id, storage, new_id)
    say(f"{plural(len(taken), 'trial')} of {other.name} taken over.")


def _config(row: Row) -> TrialConfig:
    """What a recorded trial was told; older tables lack some fields."""
    fields = {name: row[name] for name in TrialConfig.model_fields if row[name] is not None}
    return parse_config(fields, where=f"table trials, {row['trial_id']}")


def _checkpoints(cell: PlannedCell) -> bool:
    """Whether a trial of the cell may write a checkpoint: the field has a value, or is searched."""
    every = [config.checkpoint_every_epochs for config in cell.examples.values()]
    return "checkpoint_every_epochs" in cell.search or any(every)


def _close(prepared: PreparedRun) -> None:
    """Leave what readers of the run look at: the journal, and the cells that an adaptive sweep has added."""
    check_there(prepared.storage, prepared.created_at, f"the {plural(prepared.studies.told, 'trial')} finished so far")
    Checkpoints(prepared.storage).tidy()
    cells, finished = prepared.studies.planned, read_finished(prepared.storage)
    if len(finished) > len(prepared.finished_trials) or not is_whole(prepared.storage):
        export_journal(prepared.storage, prepared.plan.objectives, cells.values(), finished)
    compared = {name: cell.compared for name, cell in cells.items()}
    content = read_run_file(prepared.storage)
    seeds = confirm_seeds(prepared.plan, cells.values(), content["confirm_seeds"])
    save_run_file(prepared.storage, content | {"compared": compared, "confirm_seeds": seeds})


def read_finished(storage: Storage) -> list[FinishedTrial]:
    """The trials that the tables hold."""
    epochs = read_arrow(storage, "epochs").select(["trial_id", "epoch", "val_accuracy"])
    return finished_trials(read_arrow(storage, "trials").to_pylist(), epochs.to_pylist())


def _validation(baselines: dict[str, dict[str, float]]) -> dict[str, float]:
    return {name: baseline["validation_accuracy"] for name, baseline in baselines.items()}


def _baselines(
    plan: Plan, data: Mapping[str, AnyData], known: Mapping[str, Any], say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Compute both baselines of each proxy that a cell names, by its name, unless run.json has them."""
    import torch

    from study.datasets.baseline import BASELINES, held_images  # imports scikit-learn, which takes a second
    from study.training.proxies import proxied

    found = {kind: dict(known.get(kind, {})) for kind in BASELINES}
    for proxy in dict.fromkeys(cell.proxy for cell in plan.cells):
        missing = {kind: compute for kind, compute in BASELINES.items() if proxy.name not in found[kind]}
        if missing:
            say(f"Computing the baselines of {proxy.name} ...")
            images = held_images(proxied(data[proxy.dataset], proxy, torch.device("cpu")))
            for kind, compute in missing.items():
                found[kind][proxy.name] = compute(images)
    return found
