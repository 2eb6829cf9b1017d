"""The penalty of a whole network, for every regulariser."""

import pytest
import torch
from host_reads import NoHostReads

from models.networks import NETWORKS, PlainCNN
from models.regularizers import REGULARIZERS, NetworkPenalty


def network_with_gradients(architecture="plain", channels_last=False):
    network = NETWORKS[architecture](8, width=4, in_channels=1).double()
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    return network


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("name", REGULARIZERS)
def test_network_penalty_adds_the_gradient_of_its_value(name, architecture, channels_last):
    network = network_with_gradients(architecture, channels_last)
    NetworkPenalty(network, name).add_gradients_(0.25)
    gradient = REGULARIZERS[name].fast_gradient or REGULARIZERS[name].gradient
    for conv in network.convs:
        added = 0.25 * gradient(conv.weight.detach(), stride=conv.stride[0]) if gradient else 0.0
        expected = torch.ones_like(conv.weight) + added
        torch.testing.assert_close(conv.weight.grad, expected, rtol=1e-10, atol=1e-10)
    decay = 0.0 if name == "none" else 0.25
    torch.testing.assert_close(network.classifier.weight.grad, 1.0 + decay * network.classifier.weight.detach())


@pytest.mark.parametrize("name", REGULARIZERS)
def test_network_penalty_leaves_biases_and_normalisation_alone(name):
    network = network_with_gradients()
    NetworkPenalty(network, name).add_gradients_(0.25)
    others = [*(p for norm in network.norms for p in norm.parameters()), network.classifier.bias]
    assert all((parameter.grad == 1.0).all() for parameter in others)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_network_penalty_value_is_the_sum_over_layers(name):
    network = network_with_gradients()
    value = REGULARIZERS[name].value or REGULARIZERS["none"].value
    values = [value(conv.weight.detach(), stride=conv.stride[0]) for conv in network.convs]
    decay = 0.0 if name == "none" else 0.5 * network.classifier.weight.detach().square().sum()
    torch.testing.assert_close(NetworkPenalty(network, name).value(), sum(values) + decay)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", REGULARIZERS)
def test_network_is_moved_onto_constraints_and_by_nothing_else(name, channels_last):
    network = network_with_gradients(channels_last=channels_last)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    NetworkPenalty(network, name).project_()
    defect = sum(REGULARIZERS["orthonormal"].value(conv.weight.detach()) for conv in network.convs)
    assert (defect < 1e-12) == (REGULARIZERS[name].project is not None)
    kept = [torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True)]
    convs = {id(conv.weight) for conv in network.convs}
    moved = {id(parameter) for parameter, same in zip(network.parameters(), kept, strict=True) if not same}
    assert moved == (convs if REGULARIZERS[name].project is not None else set())


@pytest.mark.parametrize("name", REGULARIZERS)
def test_no_number_is_read_back_when_penalties_act(name):
    penalty = NetworkPenalty(network_with_gradients(), name)
    with NoHostReads():
        penalty.add_gradients_(0.1)
        penalty.project_()


@pytest.mark.parametrize("name", REGULARIZERS)
def test_network_penalty_takes_its_strength_as_a_number_or_a_tensor(name):
    by_number, by_tensor = network_with_gradients(), network_with_gradients()
    NetworkPenalty(by_number, name).add_gradients_(0.25)
    NetworkPenalty(by_tensor, name).add_gradients_(torch.tensor(0.25))
    for one, other in zip(by_number.parameters(), by_tensor.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_network_penalty_of_strength_zero_changes_nothing():
    network = network_with_gradients()
    NetworkPenalty(network, "orthonormal").add_gradients_(torch.tensor(0.0))
    assert all((parameter.grad == 1.0).all() for parameter in network.parameters())


def test_network_penalty_sees_weights_as_they_are_when_called():
    network = network_with_gradients()
    penalty = NetworkPenalty(network, "l2")
    with torch.no_grad():
        network.convs[2].weight.fill_(7.0)
    penalty.add_gradients_(1.0)
    assert (network.convs[2].weight.grad == 8.0).all()


def test_unknown_regulariser_is_refused_by_name():
    with pytest.raises(ValueError, match="regularizer = 'l3': must be one of none, l2, orthonormal"):
        NetworkPenalty(PlainCNN(8), "l3")
