"""One step of the weights, against torch's own optimisers with the penalty added by hand."""

import copy

import pytest
import torch
from torch.nn import functional

from models.gradient_scaling import LARS_TRUST
from models.initializers import INITIALIZERS
from models.networks import PlainCNN
from models.optimizers import OPTIMIZERS
from models.regularizers import REGULARIZERS
from study.config import TrialConfig
from study.training.network import build_network
from study.training.update import WeightUpdate

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


def test_lars_scales_loss_and_decay_by_the_sum_of_their_norms() -> None:
    net, reference = network(), network()
    backward(reference)
    update = WeightUpdate(net, config(regularizer="l2", optimizer="lars"), torch.tensor(RATE), torch.tensor(STRENGTH))
    backward(net)
    update.add_penalty()
    update.apply()
    for after, before in zip(weights(net), weights(reference), strict=True):
        loss, decay = before.grad, STRENGTH * before.detach()
        ratio = LARS_TRUST * before.norm() / (loss.norm() + decay.norm())
        torch.testing.assert_close(before - after, RATE * ratio * (loss + decay), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_every_pair_moves_the_weights_and_stays_finite(optimizer: str, regularizer: str) -> None:
    before = network()
    after = trained(copy.deepcopy(before), config(regularizer=regularizer, optimizer=optimizer))
    assert all(torch.isfinite(parameter).all() for parameter in after.parameters())
    assert all((a != b).any() for a, b in zip(weights(before), weights(after), strict=True))


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_a_hard_constraint_holds_after_every_step(initializer: str) -> None:
    settings = config(depth=8, regularizer="newton_schulz", initializer=initializer)
    net = trained(build_network(settings, 1, 10).double(), settings)
    for conv in net.convs:
        assert REGULARIZERS["orthonormal"].value(conv.weight.detach()).item() < 1e-10
