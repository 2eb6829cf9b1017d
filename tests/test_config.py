"""TrialConfig refuses what is wrong, and says which field, which value and what is allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.config import TrialConfig, parse_config

REFUSED = [
    ({"depht": 20}, "depht is no field"),
    ({"depth": 45}, "the nearest are 44 and 50"),
    ({"depth": 2}, "depth = 2: must be 6n + 2 and within [8, 1202]; the nearest are 8 and 14"),
    ({"depth": "20"}, "depth = '20': input should be a valid integer"),
    ({"learning_rate": 0.0}, "learning_rate = 0.0: input should be greater than 0"),
    ({"learning_rate": float("nan")}, "learning_rate = nan"),
    ({"momentum": 1.0}, "momentum = 1.0"),
    ({"modulation": "sometimes"}, "'off', 'pairwise' or 'cumulative'"),
    ({"modulation_band": 0.9}, "modulation_band = 0.9"),
    ({"activation_slope": 0.5}, "needs activation=leaky_relu"),
    ({"learning_rate_drops": [0.7, 0.5]}, "must ascend"),
    ({"steps": 5}, "give epochs or steps"),
    ({"epochs": None}, "give epochs or steps"),
    ({"checkpoint_every_epochs": 0}, "checkpoint_every_epochs = 0"),
    ({"nesterov": 1}, "nesterov = 1"),
    ({"nesterov": True, "momentum": 0.0}, "needs momentum above 0"),
    ({"network_size": "imagenet", "depth": 20}, "depth = 20: must be one of 18, 34, 50, 101"),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSED)
def test_wrong_values_are_refused_with_field_value_and_range(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match="cell x") as refusal:
        parse_config({"epochs": 1, **wrong}, where="cell x")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@given(st.builds(dict, depth=st.integers(1, 200).map(lambda n: 6 * n + 2), epochs=st.integers(1, 5)))
def test_a_config_survives_its_own_dump(values: dict) -> None:
    config = parse_config(values, where="here")
    assert TrialConfig.model_validate(config.model_dump()) == config


def test_the_last_smaller_batch_counts_as_a_step() -> None:
    config = TrialConfig(epochs=3, batch_size=128)
    assert config.steps_per_epoch(258) == 3
    assert config.total_steps(258) == 9
    assert TrialConfig(steps=5, batch_size=128).total_steps(258) == 5


def test_a_last_batch_of_one_image_is_left_out() -> None:
    """Batch normalisation has no statistics of it."""
    assert TrialConfig(epochs=3, batch_size=128).steps_per_epoch(257) == 2
