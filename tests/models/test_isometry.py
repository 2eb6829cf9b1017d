"""Diagnostics: known values, and that looking changes nothing."""

import copy
import math

import pytest
import torch
from torch.nn import functional

from models.initializers import INITIALIZERS
from models.isometry import (
    circular_singular_values,
    dead_fractions,
    error_profile,
    gram_defect,
    layer_statistics,
    mean_cosine,
    mean_cosines,
    operator_statistics,
    orthonormality_defect,
    padded_singular_value_max,
)
from models.modulation import build_modulation
from models.networks import NETWORKS, PlainCNN, ResidualCNN

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))

LOOKS = {
    "layer_statistics": layer_statistics,
    "orthonormality_defect": orthonormality_defect,
    "dead_fractions": lambda network: dead_fractions(network, IMAGES),
    "mean_cosines": mean_cosines,
    "operator_statistics": lambda network: operator_statistics(network, IMAGES),
    "error_profile": lambda network: error_profile(network, IMAGES, torch.arange(4)),
}


def initialized(network, name="orthonormal"):
    network.initialize(INITIALIZERS[name], torch.Generator().manual_seed(0))
    return network


def test_orthonormal_net_has_no_defect_and_unit_singular_values():
    network = initialized(PlainCNN(8, in_channels=1).double())
    for row in layer_statistics(network)[1:]:
        numbers = [row[key] for key in ("singular_value_min", "singular_value_max", "singular_value_mean")]
        assert numbers == pytest.approx([1.0, 1.0, 1.0], abs=1e-12)
    assert all(row["gram_defect"] < 1e-12 for row in layer_statistics(network))
    assert orthonormality_defect(network) < 1e-12


def test_rows_name_layer_and_stage():
    rows = layer_statistics(PlainCNN(14, width=4))
    assert [row["layer"] for row in rows] == list(range(13))
    assert [row["stage"] for row in rows] == [0] * 5 + [1] * 4 + [2] * 4


def test_gram_defect_of_the_zero_bank_is_one_and_grows_with_the_scale():
    zero = torch.zeros(6, 2, 3, 3)
    assert gram_defect(zero).item() == pytest.approx(1.0)
    bank = torch.zeros(4, 4, 1, 1)
    bank[:, :, 0, 0] = 2.0 * torch.eye(4)
    assert gram_defect(bank).item() == pytest.approx(3.0)


def test_orthonormality_defect_is_the_mean_over_convolutions():
    network = initialized(PlainCNN(8, width=4), "he")
    rows = layer_statistics(network)
    assert orthonormality_defect(network) == pytest.approx(sum(row["gram_defect"] for row in rows) / len(rows))


def test_singular_values_and_norm_belong_together():
    network = initialized(PlainCNN(8, width=4).double(), "he")
    for row, conv in zip(layer_statistics(network), network.convs, strict=True):
        bank = conv.weight.detach().flatten(1)
        assert row["singular_value_max"] == pytest.approx(torch.linalg.matrix_norm(bank, 2).item())
        assert row["singular_value_min"] == pytest.approx(torch.linalg.matrix_norm(bank, -2).item())
        assert row["weight_norm"] == pytest.approx(math.sqrt(bank.square().sum()))


@pytest.mark.parametrize("architecture", NETWORKS)
def test_dead_fraction_counts_channels_held_down_by_their_normalisation(architecture):
    network = initialized(NETWORKS[architecture](8, width=4))
    with torch.no_grad():
        network.norms[0].bias[:3] = -1e3
    assert dead_fractions(network, IMAGES)[0] == 0.75
    assert len(dead_fractions(network, IMAGES)) == 7


def test_dead_fraction_of_a_block_is_taken_after_the_addition():
    network = initialized(ResidualCNN(8, width=4))
    with torch.no_grad():
        network.norms[2].weight.zero_()
        network.norms[2].bias.zero_()
    stem, _, block, *_ = dead_fractions(network, IMAGES)
    assert block == stem == 0.0


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("look", LOOKS)
def test_looking_changes_neither_the_net_nor_its_training(look, architecture):
    watched = initialized(NETWORKS[architecture](8, width=4))
    watched.norms[2].eval()
    untouched = copy.deepcopy(watched)
    before = torch.get_rng_state()
    LOOKS[look](watched)
    assert torch.equal(before, torch.get_rng_state())
    assert [module.training for module in watched.modules()] == [module.training for module in untouched.modules()]
    for network in (watched, untouched):
        functional.cross_entropy(network(IMAGES), torch.arange(4)).backward()
    states = zip(watched.state_dict().values(), untouched.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in states)
    gradients = zip(watched.parameters(), untouched.parameters(), strict=True)
    assert all(torch.equal(one.grad, other.grad) for one, other in gradients)


def test_looking_between_forward_and_backward_leaves_modulation_alone():
    network = initialized(PlainCNN(8, width=4))
    modulation = build_modulation(network, rule="pairwise", band=1.02, target="edge", statistic="norm")
    loss = functional.cross_entropy(network(IMAGES), torch.arange(4))
    dead_fractions(network, IMAGES)
    loss.backward()
    modulation.finish_backward()
    assert modulation.error_norms.isfinite().all()
    assert (modulation.error_norms > 0.0).all()


def weight_of(shape, name=None):
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if name:
        INITIALIZERS[name](weight, torch.Generator().manual_seed(0))
    return weight


def dense_operator(weight, size, stride, pad):
    """A convolution on size x size images as a matrix; `pad` pads a batch of them."""
    pixels = torch.eye(weight.shape[1] * size * size, dtype=weight.dtype).reshape(-1, weight.shape[1], size, size)
    return functional.conv2d(pad(pixels, (1, 1, 1, 1)), weight, stride=stride).flatten(1)


@pytest.mark.parametrize("shape", [(3, 2, 3, 3), (2, 5, 3, 3)])
@pytest.mark.parametrize("stride", [1, 2])
def test_circular_singular_values_are_those_of_the_operator(shape, stride):
    weight = weight_of(shape)
    operator = dense_operator(weight, 6, stride, lambda images, sides: functional.pad(images, sides, mode="circular"))
    torch.testing.assert_close(circular_singular_values(weight, 6, stride), torch.linalg.svdvals(operator))


@pytest.mark.parametrize("shape", [(3, 2, 3, 3), (2, 5, 3, 3)])
@pytest.mark.parametrize(("size", "stride"), [(6, 1), (6, 2), (7, 2)])
def test_padded_singular_value_is_that_of_the_operator(shape, size, stride):
    weight = weight_of(shape)
    largest = torch.linalg.svdvals(dense_operator(weight, size, stride, functional.pad))[0].item()
    found = padded_singular_value_max(weight, size, stride).item()
    assert largest * 0.99 <= found <= largest * (1 + 1e-12)


def test_delta_orthogonal_convolutions_are_isometries():
    network = initialized(PlainCNN(8, width=4).double(), "delta_orthogonal")
    for layer, row in enumerate(operator_statistics(network, IMAGES.double())):
        assert row["layer"] == layer
        assert row["circular_max"] == pytest.approx(1.0)
        assert row["padded_max"] == pytest.approx(1.0)
        if network.convs[layer].stride == (1, 1):
            assert row["circular_min"] == pytest.approx(1.0)


@pytest.mark.parametrize(("size", "stride"), [(5, 2), (2, 1), (2, 2)])
def test_circular_values_of_an_image_that_does_not_fit_are_refused(size, stride):
    with pytest.raises(ValueError, match=f"size = {size}: must be a multiple of {stride}"):
        circular_singular_values(weight_of((3, 2, 3, 3)), size, stride)


def test_mean_cosine_of_known_banks():
    assert mean_cosine(weight_of((6, 3, 3, 3), "orthonormal")).item() == pytest.approx(0.0, abs=1e-12)
    assert mean_cosine(torch.ones(4, 2, 3, 3)).item() == pytest.approx(1.0)
    opposite = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [0.0, 3.0]]).reshape(3, 2, 1, 1)
    assert mean_cosine(opposite).item() == pytest.approx(1 / 3)
    assert mean_cosine(torch.ones(1, 2, 3, 3)).item() == 0.0


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("statistic", ["norm", "mean"])
def test_error_profile_is_what_modulation_measures(architecture, statistic):
    network = initialized(NETWORKS[architecture](8, width=4).double())
    modulation = build_modulation(network, rule="pairwise", band=1.0, target="unit", statistic=statistic)
    images, labels = IMAGES.double(), torch.arange(4)
    profile = error_profile(network, images, labels, statistic=statistic)
    assert not modulation.error_norms.any()
    functional.cross_entropy(network(images), labels).backward()
    norms = modulation.error_norms.tolist()
    assert [row["error_norm"] for row in profile] == pytest.approx(norms)
    assert profile[-1] == {"layer": 6, "error_norm": profile[-1]["error_norm"], "error_ratio": 1.0}
    assert profile[0]["error_ratio"] == pytest.approx(norms[0] / norms[1])


def test_error_profile_is_of_training_mode_whatever_mode_the_net_is_in():
    network = initialized(PlainCNN(8, width=4))
    training, evaluating = (error_profile(net, IMAGES, torch.arange(4)) for net in (network.train(), network.eval()))
    assert training == evaluating
    assert not network.training


def test_errors_of_a_fresh_plain_net_explode_backwards():
    profile = error_profile(initialized(PlainCNN(44, width=4)), IMAGES, torch.arange(4))
    assert profile[0]["error_norm"] > 10 * profile[-1]["error_norm"]
