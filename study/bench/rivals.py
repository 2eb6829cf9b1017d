"""The same trivial search without the study: Ray Tune with its own Optuna search, and Optuna alone."""

import time
from typing import Any

import optuna
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from study.bench.trivial_trial import trivial_accuracy
from study.launch import Silence

LOW, HIGH = 0.003, 0.3  # of the learning rate


def plain_tune_seconds(trials: int, workers: int, folder: str) -> float:
    """Wall clock of Ray Tune with default settings, `workers` trials at a time; needs a Ray session."""

    def trial(config: dict[str, Any]) -> None:  # in here, so that workers import nothing of this module for it
        for _ in range(2):  # reports, as many as the study's trivial trial makes
            tune.report({"val_accuracy": trivial_accuracy(config["learning_rate"])})

    tuner = tune.Tuner(
        trial,
        param_space={"learning_rate": tune.loguniform(LOW, HIGH)},
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(),
            metric="val_accuracy",
            mode="max",
            num_samples=trials,
            max_concurrent_trials=workers,
        ),
        run_config=tune.RunConfig(name="plain", storage_path=folder, verbose=0, callbacks=[Silence()]),
    )
    started = time.monotonic()
    tuner.fit()
    return time.monotonic() - started


def plain_optuna_seconds(trials: int) -> float:
    """Wall clock of Optuna with default settings."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    started = time.monotonic()
    study.optimize(lambda trial: trivial_accuracy(trial.suggest_float("learning_rate", LOW, HIGH, log=True)), trials)
    return time.monotonic() - started
