"""Statistics of batch normalisation at evaluation: the batch's own, and the population's."""

import copy

import pytest
import torch
from torch import Tensor

from models.networks import NETWORKS, ConvNet
from study.config import TrialConfig
from study.datasets import ImageData, ImageSplit, load_dataset
from study.trainer import Training, train
from study.training.batches import Batches, full_rows
from study.training.evaluation import batch_statistics_accuracy, estimate_statistics_

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def small() -> ImageData:
    data = load_dataset("digits")
    cut = {name: ImageSplit(*(part[:200] for part in vars(getattr(data, name)).values())) for name in ("train", "test")}
    return ImageData(**{**vars(data), **cut})


def network(kind: str = "plain") -> ConvNet:
    return NETWORKS[kind](8, width=4, in_channels=1)


def batches_of(count: int, size: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(size, 1, 8, 8, generator=generator) + 5 * place for place in range(count)]
    return [(batch, torch.randint(10, (size,), generator=generator)) for batch in images]


@pytest.mark.parametrize("at_least", [None, 7, 100])
@pytest.mark.parametrize(("count", "size"), [(10, 4), (8, 4), (3, 4), (4, 4)])
def test_full_batches_hold_every_row_and_are_of_one_size(count: int, size: int, at_least: int | None) -> None:
    batches = full_rows(torch.arange(count), size, at_least)
    assert {len(rows) for rows in batches} == {min(count, size)}
    covered = set(torch.cat(batches).tolist())
    assert len(covered) >= min(count, at_least or count)
    assert covered == set(range(len(covered)))
    assert len(batches) == -(-min(count, at_least or count) // size)


def test_the_population_variance_is_that_of_all_images_together() -> None:
    """The first normalisation sees the stem's outputs, whose moments over all images are known directly."""
    net, batches = network(), batches_of(3, 5)
    estimate_statistics_(net, batches)
    outputs = net.convs[0](torch.cat([images for images, _ in batches]))
    variance, mean = torch.var_mean(outputs, dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(net.norms[0].running_mean, mean)
    torch.testing.assert_close(net.norms[0].running_var, variance)


def test_torchs_update_bn_leaves_out_how_batch_means_differ() -> None:
    ours, theirs = network(), network()
    batches = batches_of(3, 5)
    estimate_statistics_(ours, batches)
    torch.optim.swa_utils.update_bn(batches, theirs)
    assert ours.norms[0].running_var.sum() > 1.2 * theirs.norms[0].running_var.sum()


def test_one_batch_evaluates_as_it_trains_once_its_statistics_are_the_populations() -> None:
    net, batches = network("residual"), batches_of(1, 64)
    estimate_statistics_(net, batches)
    (images, _), trained = batches[0], copy.deepcopy(net).train()
    torch.testing.assert_close(net(images), trained(images), atol=1e-5, rtol=1e-4)


def test_batch_statistics_change_nothing_of_the_net() -> None:
    net = network()
    before = copy.deepcopy(net.state_dict())
    batch_statistics_accuracy(net, batches_of(2, 8), 16)
    assert not net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_batch_statistics_accuracy_is_that_of_a_forward_pass_in_training_mode(small: ImageData) -> None:
    batches, net = Batches(small, CPU, augment=False, seed=0), network()
    full, count = list(batches.full("validation", 100)), len(small.validation.labels)
    hits = [(copy.deepcopy(net).train()(images).argmax(1) == labels) for images, labels in full]
    new = torch.cat([*hits[:-1], hits[-1][-(count % 100) :]])
    assert len(new) == count
    assert batch_statistics_accuracy(net, full, count) == pytest.approx(new.float().mean().item())


def test_full_batches_are_the_same_each_time_and_move_no_generator(small: ImageData) -> None:
    batches = Batches(small, CPU, augment=True, seed=3)
    state, globally = batches.state()["order"].clone(), torch.get_rng_state()
    first, second = (torch.cat([labels for _, labels in batches.full("train", 32)]) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(batches.state()["order"], state)
    assert torch.equal(torch.get_rng_state(), globally)


def config(**fields: object) -> TrialConfig:
    return TrialConfig(**({"depth": 8, "batch_size": 64, "steps": 12, "learning_rate": 0.05} | fields))


def test_a_net_may_learn_and_not_evaluate(small: ImageData) -> None:
    """After a few steps at a high rate running averages still hold the start; the batch's own statistics do not."""
    *_, last = train(config(steps=4, learning_rate=0.2), small)
    assert last.val_accuracy_batch_statistics is not None
    assert last.val_accuracy_batch_statistics > last.val_accuracy + 0.2


def test_precise_statistics_close_that_gap_and_do_not_change_training(small: ImageData) -> None:
    running, precise = (list(train(config(norm_statistics=kind), small)) for kind in ("running", "precise"))
    assert [record.train_loss for record in running] == [record.train_loss for record in precise]
    assert precise[-1].val_accuracy > running[-1].val_accuracy
    assert precise[-1].val_accuracy == pytest.approx(precise[-1].val_accuracy_batch_statistics, abs=0.1)


def test_kept_weights_hold_the_statistics_that_were_evaluated(small: ImageData) -> None:
    training = Training(config(norm_statistics="precise"), small, CPU)
    *_, last = training.epochs()
    kept = copy.deepcopy(training.network.state_dict())
    estimate_statistics_(training.network, training.batches.full("train", 64))
    assert all(torch.equal(kept[name], value) for name, value in training.network.state_dict().items())
    assert last.val_accuracy_batch_statistics is not None
