"""Networks: sizes, what is and is not connected, and starting values."""

import pytest
import torch
from torch import nn

from models.filter_banks import filter_groups
from models.initializers import INITIALIZERS
from models.layouts import IMAGENET_BLOCKS
from models.networks import ACTIVATIONS, IMAGENET_NETWORKS, NETWORKS, PlainCNN, ResidualCNN


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize(("depth", "parameters"), [(20, 269_722), (44, 658_586), (110, 1_727_962)])
def test_parameter_counts_are_those_of_he_et_al_and_equal_for_both_twins(architecture, depth, parameters):
    network = NETWORKS[architecture](depth)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert len(network.convs) + 1 == depth


@pytest.mark.parametrize(
    ("depth", "nearest"), [(45, (44, 50)), (9, (8, 14)), (2, (8, 14)), (-4, (8, 14)), (1203, (1196, 1202))]
)
def test_other_depths_are_refused_with_the_two_nearest(depth, nearest):
    with pytest.raises(ValueError, match=rf"depth = {depth}:.*{nearest[0]} and {nearest[1]}"):
        PlainCNN(depth)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_layout_halves_the_image_and_doubles_the_width_twice(architecture):
    network = NETWORKS[architecture](14, width=5, in_channels=1)
    assert [conv.out_channels for conv in network.convs] == [5] * 5 + [10] * 4 + [20] * 4
    assert [layer for layer, conv in enumerate(network.convs) if conv.stride == (2, 2)] == [5, 9]
    assert network.stages == (0,) * 5 + (1,) * 4 + (2,) * 4
    assert all(isinstance(conv, nn.Conv2d) and conv.bias is None for conv in network.convs)


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("size", [8, 15, 28])
def test_any_image_size_gives_one_logit_a_class(architecture, size):
    network = NETWORKS[architecture](8, in_channels=1, num_classes=7)
    assert network(torch.zeros(3, 1, size, size)).shape == (3, 7)


def outputs_for_two_inputs(network, severed):
    """Logits of two images with the weight of the conv `severed` set to zero, in evaluation mode."""
    generator = torch.Generator().manual_seed(1)
    network.initialize(INITIALIZERS["he"], generator)
    with torch.no_grad():
        network.convs[severed].weight.zero_()
        return network.eval()(torch.randn(2, 3, 8, 8, generator=generator))


@pytest.mark.parametrize("severed", range(13))
def test_cutting_any_convolution_of_the_plain_net_cuts_off_the_input(severed):
    first, second = outputs_for_two_inputs(PlainCNN(14), severed)
    assert torch.equal(first, second)


@pytest.mark.parametrize("severed", range(13))
def test_cutting_a_convolution_of_the_residual_net_does_so_at_the_stem_alone(severed):
    first, second = outputs_for_two_inputs(ResidualCNN(14), severed)
    assert torch.equal(first, second) == (severed == 0)


def test_shortcut_across_a_change_of_size_takes_every_other_pixel_and_pads_zeros():
    images = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    block = ResidualCNN(8, width=4).body[2]
    shortcut = block.shortcut(images)
    assert torch.equal(shortcut[:, :4], images[:, :, ::2, ::2])
    assert not shortcut[:, 4:].any()
    assert not list(block.shortcut.parameters())


@pytest.mark.parametrize("architecture", NETWORKS)
def test_building_and_initialising_leave_the_global_generator_alone(architecture):
    before = torch.get_rng_state()
    NETWORKS[architecture](8).initialize(INITIALIZERS["orthonormal"], torch.Generator().manual_seed(0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_initialize_starts_afresh_from_the_generator(architecture, initializer):
    fresh, used = (NETWORKS[architecture](8, norm_bias_init=0.5) for _ in range(2))
    used(torch.ones(2, 3, 8, 8))
    with torch.no_grad():
        for parameter in used.parameters():
            parameter.fill_(3.0)
    for network in (fresh, used):
        network.initialize(INITIALIZERS[initializer], torch.Generator().manual_seed(5))
    states = zip(fresh.state_dict().items(), used.state_dict().items(), strict=True)
    assert all(torch.equal(one[1], other[1]) for one, other in states)
    assert all((norm.weight == 1.0).all() and (norm.bias == 0.5).all() for norm in fresh.norms)
    assert not fresh.classifier.bias.any()


@pytest.mark.parametrize("architecture", IMAGENET_NETWORKS)
@pytest.mark.parametrize(("depth", "convolutions"), [(18, 17), (34, 33), (50, 49), (101, 100)])
def test_imagenet_size_nets_have_the_depth_they_are_named_for(architecture, depth, convolutions):
    network = IMAGENET_NETWORKS[architecture](depth, width=4, num_classes=6)
    assert len(network.convs) == convolutions
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 6)
    twin = IMAGENET_NETWORKS["plain"](depth, width=4, num_classes=6)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in twin.parameters())
    blocks = sum(IMAGENET_BLOCKS[depth])
    assert len(network.error_sites()) == (convolutions if architecture == "plain" else blocks)
    assert network.error_sites()[-1].layer == convolutions - 1


def test_imagenet_size_bottlenecks_have_banks_wider_than_tall():
    network = IMAGENET_NETWORKS["plain"](50, width=4)
    assert max(len(filter_groups(conv.weight)) for conv in network.convs) == 4


@pytest.mark.parametrize("severed", [0, 1, 2, 3, 25, 48])
def test_cutting_any_convolution_of_the_plain_imagenet_net_cuts_off_the_input(severed):
    first, second = outputs_for_two_inputs(IMAGENET_NETWORKS["plain"](50, width=4), severed)
    assert torch.equal(first, second)


def test_plain_34_has_the_parameters_of_he_et_al_without_projections():
    """ResNet-34 has 21,797,672, of which 172,032 + 1,792 belong to its three projections, left out here."""
    network = IMAGENET_NETWORKS["residual"](34, width=64, num_classes=1000)
    assert sum(parameter.numel() for parameter in network.parameters()) == 21_797_672 - 172_032 - 1_792


@pytest.mark.parametrize("depth", [20, 19, 152])
def test_other_imagenet_depths_are_refused(depth):
    with pytest.raises(ValueError, match=f"depth = {depth}: must be one of 18, 34, 50, 101"):
        IMAGENET_NETWORKS["plain"](depth)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_used_after_every_convolution(activation):
    network = PlainCNN(8, activation=activation)
    kinds = {type(module) for module in network.activations}
    assert kinds == {type(ACTIVATIONS[activation](0.0))}
    assert len(network.activations) == 7


def test_slope_reaches_the_activation():
    network = PlainCNN(8, activation="leaky_relu", activation_slope=0.25)
    assert torch.equal(network.activations[0](torch.tensor([-4.0, 2.0])), torch.tensor([-1.0, 2.0]))


def test_shifted_relu_cuts_off_at_minus_one():
    activation = ACTIVATIONS["shifted_relu"](0.0)
    assert activation(torch.tensor([-3.0, -1.0, -0.5, 2.0])).tolist() == [-1.0, -1.0, -0.5, 2.0]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"activation": "swish"}, "activation = 'swish'"),
        ({"activation": "relu", "activation_slope": 0.5}, "activation_slope = 0.5"),
        ({"activation": "shifted_relu", "activation_slope": 0.5}, "activation_slope = 0.5: must be 0 for shifted_relu"),
        ({"activation": "leaky_relu", "activation_slope": 1.5}, "activation_slope = 1.5"),
    ],
)
def test_impossible_activations_are_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        PlainCNN(8, **options)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_error_sites_own_each_parameter_at_most_once_and_leave_the_top_free(architecture):
    network = NETWORKS[architecture](14)
    owned = [parameter for site in network.error_sites() for parameter in site.parameters]
    assert len({id(parameter) for parameter in owned}) == len(owned)
    names = {name for name, parameter in network.named_parameters() if not any(parameter is other for other in owned)}
    top = {"classifier.weight", "classifier.bias"}
    assert names == (top if architecture == "residual" else top | {"body.12.norm.weight", "body.12.norm.bias"})


def test_error_sites_lie_at_convolutions_or_at_the_ends_of_blocks():
    assert [site.layer for site in PlainCNN(8).error_sites()] == list(range(7))
    assert [site.layer for site in ResidualCNN(14).error_sites()] == [2, 4, 6, 8, 10, 12]


def test_golden_logits():
    """A change of layout, of the order of draws or of the arithmetic shows here."""
    network = PlainCNN(8, width=4).double()
    network.initialize(INITIALIZERS["orthonormal"], torch.Generator().manual_seed(0))
    images = torch.linspace(-1.0, 1.0, 2 * 3 * 8 * 8, dtype=torch.float64).reshape(2, 3, 8, 8)
    golden = [[0.171496865758, 0.034226043369, -0.491034018499], [-0.331904228413, -0.047913878983, -1.018222006134]]
    torch.testing.assert_close(network(images)[:, :3], torch.tensor(golden, dtype=torch.float64), rtol=0, atol=1e-10)
