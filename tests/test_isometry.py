"""Diagnostics: known values, and that looking changes nothing."""

import copy
import math

import pytest
import torch
from torch.nn import functional

from models.initializers import INITIALIZERS
from models.isometry import dead_fractions, gram_defect, layer_statistics, orthonormality_defect
from models.modulation import build_modulation
from models.networks import NETWORKS, PlainCNN, ResidualCNN

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))

LOOKS = {
    "layer_statistics": layer_statistics,
    "orthonormality_defect": orthonormality_defect,
    "dead_fractions": lambda network: dead_fractions(network, IMAGES),
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
