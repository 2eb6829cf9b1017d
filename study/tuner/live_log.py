"""Shows a run that is going in another tool: TensorBoard, MLflow, Weights & Biases."""

from collections.abc import Callable, Mapping
from typing import Any

from study.prepare import PreparedRun
from study.store.locations import redacted_error
from study.store.logged_run import EPOCH_MEASURES, FINAL_MEASURES, LoggedRun, hyperparameters, measures
from study.store.tool_logs import TOOLS, ToolLog, folder_beside, refused_in_one_line
from study.training.epoch_record import EpochRecord
from study.tuner.listener import Listener


class LiveLog(Listener):
    """Passes epochs and ends on to a tool's log, until that fails: a server that is gone would hold up every epoch."""

    def __init__(self, tool: str, prepared: PreparedRun, say: Callable[[str], None]) -> None:
        self._tool, self._studies, self._say = tool, prepared.studies, say
        run = LoggedRun(prepared.plan.run, prepared.created_at)
        with refused_in_one_line(tool):
            self._log: ToolLog | None = TOOLS[tool](run, folder_beside(tool, prepared.storage))
        self._last_epochs: dict[str, int] = {}  # of each running trial

    def epoch_done(self, trial_id: str, record: EpochRecord) -> None:
        """Log it; with the first one, and one that is done again, the trial begins."""
        if record.epoch <= self._last_epochs.get(trial_id, record.epoch):
            planned = self._studies.trial(trial_id)
            recipe = {"recipe": planned.compared.get("recipe"), "cell": planned.cell, "phase": planned.phase}
            self._begin(trial_id, planned.config.model_dump() | recipe)
        self._last_epochs[trial_id] = record.epoch
        self._pass_on(lambda log: log.log_epoch(trial_id, record.epoch, measures(vars(record), EPOCH_MEASURES)))

    def trial_finished(self, row: Mapping[str, Any]) -> None:
        """Log its end; one whose worker never started begins with it."""
        trial_id = row["trial_id"]
        if self._last_epochs.pop(trial_id, None) is None:
            self._begin(trial_id, row)
        self._pass_on(lambda log: log.end_trial(trial_id, row["status"], measures(row, FINAL_MEASURES)))

    def run_ended(self) -> None:
        """End what was interrupted."""
        self._pass_on(lambda log: log.interrupt())

    def _begin(self, trial_id: str, row: Mapping[str, Any]) -> None:
        cell = self._studies.planned[row["cell"]]
        known = hyperparameters(row, (*cell.compared, *cell.search))
        self._pass_on(lambda log: log.begin_trial(trial_id, known))

    def _pass_on(self, what: Callable[[ToolLog], None]) -> None:
        try:
            if self._log is not None:
                what(self._log)
        except Exception as error:  # each tool has errors of its own
            self._log = None
            self._say(
                f"{self._tool} gets no more of this run, which goes on: {redacted_error(error)}. "
                f"Afterwards: python -m study.report RUN --export {self._tool}"
            )
