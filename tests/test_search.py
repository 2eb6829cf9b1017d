"""The Ray searcher, without Ray running."""

from ray.tune.search import Searcher

from study.cells import CellStudies
from study.plan import Plan
from study.search import JobSearcher


def test_no_more_jobs_than_slots_and_an_end(tiny_plan: Plan) -> None:
    studies, slots = CellStudies(tiny_plan), 1
    searcher = JobSearcher(studies, lambda: slots, lambda: False)
    first = searcher.suggest("ray-0")
    assert searcher.suggest("ray-1") is None
    slots = 2
    second = searcher.suggest("ray-2")
    assert first["trial_id"] != second["trial_id"]
    while (config := searcher.suggest("ray-3")) != Searcher.FINISHED:
        for job in studies.running_jobs if config is None else []:
            studies.tell(job.trial_id, {"status": "ok", "val_accuracy": 0.5})
    assert studies.finished


def test_a_config_is_the_fields_and_which_trial_it_is(tiny_plan: Plan) -> None:
    config = JobSearcher(CellStudies(tiny_plan), lambda: 1, lambda: False).suggest("ray-0")
    assert config["trial_id"].startswith("tiny-quick:depth=8,recipe=")
    assert config["phase"] == "search"
    assert config["seed"] == tiny_plan.search_seed(0)
