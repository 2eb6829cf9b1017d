"""What a step reads: the schedules' values, in tensors whose memory never moves, without a read back to the host."""

from collections.abc import Callable

import pytest
import torch
from host_reads import NoHostReads

from models.optimizers import OPTIMIZERS
from study.config import TrialConfig
from study.datasets import load_dataset
from study.trainer import Training
from study.training.step_values import StepValues, learning_rate_at

FIELDS = {
    **{"regularizer": "orthonormal", "regularizer_strength": 0.2, "regularizer_schedule": "linear"},
    **{"modulation": "pairwise", "modulation_schedule": "until_cutoff", "modulation_cutoff": 0.25},
}


def test_the_values_of_a_step_are_its_schedules() -> None:
    config = TrialConfig(epochs=1, **FIELDS)
    values = StepValues(config, 4, torch.device("cpu"))
    places = [tensor.data_ptr() for tensor in vars(values).values() if isinstance(tensor, torch.Tensor)]
    for step, decayed, modulated in ((1, 1.0, 1.0), (3, 0.5, 0.0)):
        values.set_to(step)
        assert values.learning_rate.item() == pytest.approx(learning_rate_at(config, step, 4))
        assert values.regularizer_strength.item() == pytest.approx(0.2 * decayed)
        assert values.modulation_strength.item() == modulated
    assert places == [tensor.data_ptr() for tensor in vars(values).values() if isinstance(tensor, torch.Tensor)]


def steps(optimizer: str, device: str) -> Callable[[], None]:
    config = TrialConfig(depth=8, epochs=2, batch_size=32, optimizer=optimizer, **FIELDS)
    training = Training(config, load_dataset("digits"), torch.device(device))
    images, labels = next(iter(training.batches.training(32)))

    def step() -> None:
        training.step(images, labels, record=True)

    return step


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_whole_step_reads_nothing_back(optimizer: str) -> None:
    step = steps(optimizer, "cpu")
    with NoHostReads():
        step()
        step()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_whole_step_never_waits_for_the_gpu(optimizer: str) -> None:
    step = steps(optimizer, "cuda")
    step()  # what is made once may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
