"""The Ray searcher, without Ray running."""

from collections.abc import Sequence

from ray.tune.search import Searcher

from study.config import TrialConfig
from study.planning.plan import Plan
from study.search.cells import CellStudies
from study.tuner.searcher import JobSearcher
from study.tuner.slots import ResourceRequest

TRIAL = {"status": "ok", "val_accuracy": 0.5}


class Rooms:
    """Room for so many trials, or halves; what a trial asks is read from a list."""

    def __init__(self, room: float, asks: Sequence[float] = ()) -> None:
        self.room, self._asks = room, list(asks)
        self.smallest = ResourceRequest(min(asks, default=1.0), 1.0)

    def ask(self, config: TrialConfig) -> ResourceRequest:
        """The next of the list."""
        return ResourceRequest(self._asks.pop(0), 1.0) if self._asks else self.smallest

    def have_room(self, asks: Sequence[ResourceRequest]) -> bool:
        """Whether their sum is small enough."""
        return sum(ask.gpus for ask in asks) <= self.room


def test_no_more_jobs_than_slots_and_an_end(tiny_plan: Plan) -> None:
    studies, slots = CellStudies(tiny_plan), Rooms(1)
    searcher = JobSearcher(studies, slots)
    first = searcher.suggest("ray-0")
    assert searcher.suggest("ray-1") is None
    slots.room = 2
    second = searcher.suggest("ray-2")
    assert first["trial_id"] != second["trial_id"]
    while (config := searcher.suggest("ray-3")) != Searcher.FINISHED:
        for planned in studies.running_trials if config is None else []:
            studies.tell(planned.trial_id, TRIAL)
    assert studies.finished


def test_the_first_job_waits_in_ray_where_no_node_has_room_yet(tiny_plan: Plan) -> None:
    """Tune stands still while it has none."""
    studies = CellStudies(tiny_plan)
    searcher = JobSearcher(studies, Rooms(0))
    first = searcher.suggest("ray-0")
    assert first["trial_id"]
    assert [searcher.suggest("ray-1"), studies.running] == [None, 1]


def test_a_config_is_the_fields_which_trial_it_is_and_what_it_asks(tiny_plan: Plan) -> None:
    config = JobSearcher(CellStudies(tiny_plan), Rooms(1)).suggest("ray-0")
    assert config["trial_id"].startswith("tiny-quick:depth=8,recipe=")
    assert config["phase"] == "search"
    assert config["seed"] == tiny_plan.search_seed(0)
    assert (config["asked_gpus"], config["asked_cpus"]) == (1.0, 1.0)


def test_a_job_too_large_for_the_room_left_waits_and_is_the_next(tiny_plan: Plan) -> None:
    """And nothing smaller overtakes it, or it would wait for ever."""
    studies = CellStudies(tiny_plan)
    searcher = JobSearcher(studies, Rooms(1, asks=[0.5, 1.0, 0.5]))
    first = searcher.suggest("ray-0")
    assert [searcher.suggest("ray-1"), searcher.suggest("ray-1")] == [None, None]
    waiting = next(planned.trial_id for planned in studies.running_trials if planned.trial_id != first["trial_id"])
    studies.tell(first["trial_id"], TRIAL)
    second = searcher.suggest("ray-2")
    assert (second["trial_id"], second["asked_gpus"]) == (waiting, 1.0)
    assert searcher.suggest("ray-3") is None
