"""One step of the weights, against torch's own optimisers with the penalty added by hand."""

import copy

import pytest
import torch
from torch.nn import functional

from models.networks import PlainCNN
from models.regularizers import REGULARIZERS
from study.config import TrialConfig
from study.training.update import OPTIMIZERS, WeightUpdate

RATE, STRENGTH, STEPS = 0.05, 0.01, 3


def network() -> PlainCNN:
    return PlainCNN(8, in_channels=1).double()


def config(**fields: object) -> TrialConfig:
    return TrialConfig(epochs=1, **fields)


def backward(net: PlainCNN) -> None:
    draw = torch.Generator().manual_seed(0)
    images = torch.randn((16, 1, 8, 8), generator=draw, dtype=torch.float64)
    functional.cross_entropy(net(images), torch.arange(16) % 10).backward()


def trained(net: PlainCNN, settings: TrialConfig) -> PlainCNN:
    rate, strength = (torch.tensor(value, dtype=torch.float64) for value in (RATE, STRENGTH))
    update = WeightUpdate(net, settings, rate, strength)
    for _ in range(STEPS):
        update.forget_gradients()
        backward(net)
        update.add_penalty()
        update.apply()
    return net


def assert_equal(a: PlainCNN, b: PlainCNN) -> None:
    for mine, theirs in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def weights(net: PlainCNN) -> list[torch.nn.Parameter]:
    return [*(conv.weight for conv in net.convs), net.classifier.weight]


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_l2_is_torchs_sgd_with_weight_decay(nesterov: bool) -> None:
    mine, theirs = network(), network()
    decayed = weights(theirs)
    rest = [parameter for parameter in theirs.parameters() if not any(parameter is weight for weight in decayed)]
    groups = [{"params": decayed, "weight_decay": STRENGTH}, {"params": rest}]
    optimizer = torch.optim.SGD(groups, lr=RATE, momentum=0.9, nesterov=nesterov)
    for _ in range(STEPS):
        optimizer.zero_grad()
        backward(theirs)
        optimizer.step()
    assert_equal(trained(mine, config(regularizer="l2", nesterov=nesterov)), theirs)


def test_adamw_with_l2_is_torchs_adamw() -> None:
    mine, theirs = network(), network()
    decayed = weights(theirs)
    rest = [parameter for parameter in theirs.parameters() if not any(parameter is weight for weight in decayed)]
    groups = [{"params": decayed, "weight_decay": STRENGTH}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999))
    for _ in range(STEPS):
        optimizer.zero_grad()
        backward(theirs)
        optimizer.step()
    assert_equal(trained(mine, config(regularizer="l2", optimizer="adamw")), theirs)


def test_the_penalty_is_never_clipped() -> None:
    settings = config(regularizer="l2", gradient_clip=1e-300, momentum=0.0)
    stepped, fresh = trained(network(), settings), network()
    for after, before in zip(weights(stepped), weights(fresh), strict=True):
        torch.testing.assert_close(after, before * (1 - RATE * STRENGTH) ** STEPS)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_every_pair_moves_the_weights_and_stays_finite(optimizer: str, regularizer: str) -> None:
    before = network()
    after = trained(copy.deepcopy(before), config(regularizer=regularizer, optimizer=optimizer))
    assert all(torch.isfinite(parameter).all() for parameter in after.parameters())
    assert all((a != b).any() for a, b in zip(weights(before), weights(after), strict=True))


def test_a_hard_constraint_holds_after_every_step() -> None:
    net = trained(network(), config(regularizer="newton_schulz"))
    for conv in net.convs[1:]:
        bank = conv.weight.flatten(1)
        torch.testing.assert_close(bank @ bank.T, torch.eye(len(bank), dtype=torch.float64), rtol=0, atol=1e-6)
