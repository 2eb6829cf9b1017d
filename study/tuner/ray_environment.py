"""What Ray must find when it is imported: its settings, which a user's own win over. Import this module before Ray."""

import os

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Unset, ray.init() would write a token into the home folder that later `ray start` calls then demand.
    "RAY_AUTH_MODE": "disabled",
    # The behaviour that Ray announces: a trial without GPUs does not have CUDA_VISIBLE_DEVICES emptied.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # How long to wait to hear why a worker is silent: Ray's health checks take a while to find that its node died.
    "RAY_timeout_ms_task_wait_for_death_info": "60000",
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints a banner even with verbose=0; see study.launch.Silence
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # study.tuner.stopping's hears SIGINT
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # errors are in the table, and the display says their last line
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # The tables are the only state: Ray's own snapshots are never read, so they need not be frequent.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # The searcher itself answers None when all slots are taken, so Tune need not hold back.
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",
}


CHOSEN_AUTH_MODE = os.environ.get("RAY_AUTH_MODE")  # None where the user has said nothing


def auth_mode() -> str:
    """How Ray is told to authenticate: `disabled`, or `token` where the user chose it."""
    return os.environ["RAY_AUTH_MODE"]


class DriverOnly:
    """A part of the driver that Ray pickles into snapshots nobody reads: it is pickled empty."""

    def __getstate__(self) -> dict[str, object]:
        return {}


for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
