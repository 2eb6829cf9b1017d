"""Modulation: the fast form = the in-backward form, and nothing else is touched."""

import gc
import itertools
import weakref

import pytest
import torch
from host_reads import NoHostReads
from torch.nn import functional

from models.initializers import INITIALIZERS
from models.modulation import FAST_DEPTH_LIMIT, FastModulation, InBackwardModulation, build_modulation
from models.modulation_factors import RULES, STATISTICS, TARGETS
from models.networks import IMAGENET_NETWORKS, NETWORKS, PlainCNN

FORMS = [FastModulation, InBackwardModulation]
OPTIONS = list(itertools.product(RULES, TARGETS, STATISTICS))


def build_network(architecture="plain", depth=20, dtype=torch.float64, **options):
    network = NETWORKS[architecture](depth, width=4, **options).to(dtype)
    network.initialize(INITIALIZERS["orthonormal"], torch.Generator().manual_seed(0))
    return network


def batch(dtype=torch.float64, size=8):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(6, 3, size, size, dtype=dtype, generator=generator), torch.randint(10, (6,), generator=generator)


def backward(network, dtype=torch.float64, size=8):
    images, labels = batch(dtype, size)
    network.zero_grad()
    logits = network(images)
    functional.cross_entropy(logits, labels).backward()
    return logits.detach()


def gradients(network):
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


def modulated(form, network, strength=1.0, *, rule="pairwise", band=1.02, target="edge", statistic="norm", size=8):
    """One backward pass under modulation of the given form; its logits and the modulation."""
    modulation = form(network, rule=rule, band=band, target=target, statistic=statistic)
    modulation.strength = strength
    modulation.recording = True
    logits = backward(network, next(network.parameters()).dtype, size)
    modulation.finish_backward()
    return logits, modulation


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize(("rule", "target", "statistic"), OPTIONS)
@pytest.mark.parametrize(("band", "strength"), [(1.02, 1.0), (1.15, 0.5)])
def test_fast_form_equals_in_backward_form(architecture, rule, target, statistic, band, strength):
    networks = [build_network(architecture, activation="leaky_relu", activation_slope=0.2) for _ in FORMS]
    options = {"rule": rule, "band": band, "target": target, "statistic": statistic}
    (_, fast), (_, reference) = (
        modulated(form, network, strength, **options) for form, network in zip(FORMS, networks, strict=True)
    )
    for one, other in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-10 * other.grad.abs().max().item())
    torch.testing.assert_close(fast.error_norms, reference.error_norms, rtol=1e-10, atol=0)
    torch.testing.assert_close(fast.factors, reference.factors, rtol=1e-10, atol=0)
    assert torch.equal(fast.fired, reference.fired)
    assert fast.fired.any() == (rule != "off")


@pytest.mark.parametrize("architecture", IMAGENET_NETWORKS)
@pytest.mark.parametrize("depth", [18, 50])
def test_fast_form_equals_in_backward_form_in_imagenet_size(architecture, depth):
    """On images of 64 pixels: of smaller ones the last stage normalises too few pixels to be well conditioned."""
    leaky = {"activation": "leaky_relu", "activation_slope": 0.2}
    networks = [IMAGENET_NETWORKS[architecture](depth, width=4, **leaky).double() for _ in FORMS]
    for form, network in zip(FORMS, networks, strict=True):
        modulated(form, network, size=64)
    for one, other in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-10 * other.grad.abs().max().item())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("architecture", NETWORKS)
def test_forward_pass_is_bit_for_bit_alone(architecture, rule, form):
    bare, watched = build_network(architecture), build_network(architecture)
    logits, _ = modulated(form, watched, rule=rule)
    assert torch.equal(backward(bare), logits)
    states = zip(bare.state_dict().values(), watched.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in states)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("recording", [False, True])
@pytest.mark.parametrize("architecture", NETWORKS)
def test_off_is_plain_autograd(architecture, recording, form):
    bare, watched = build_network(architecture), build_network(architecture)
    modulation = form(watched, rule="off", band=1.02, target="edge", statistic="norm")
    modulation.recording = recording
    for network in (bare, watched):
        backward(network)
    modulation.finish_backward()
    assert torch.equal(gradients(bare), gradients(watched))
    assert (modulation.error_norms > 0.0).all() == recording
    assert (modulation.factors == 1.0).all()
    assert not modulation.fired.any()


@pytest.mark.parametrize("form", FORMS)
def test_strength_zero_is_plain_autograd(form):
    bare, watched = build_network(), build_network()
    backward(bare)
    modulated(form, watched, strength=0.0)
    assert torch.equal(gradients(bare), gradients(watched))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_magnitudes_are_those_of_the_errors_themselves(form, statistic):
    network = build_network(depth=8)
    outputs = []

    def keep(_module, _inputs, output):
        output.retain_grad()
        outputs.append(output)

    for conv in network.convs:
        conv.register_forward_hook(keep)
    _, modulation = modulated(form, network, rule="off", statistic=statistic)
    reduce = torch.linalg.vector_norm if statistic == "norm" else lambda error: error.square().mean().sqrt()
    torch.testing.assert_close(modulation.error_norms, torch.stack([reduce(output.grad) for output in outputs]))


@pytest.mark.parametrize("form", FORMS)
def test_parameters_take_the_factors_above_them(form):
    """Conv l takes a_l, the normalisation after it a_{l+1}, the last one and the linear layer 1."""
    bare, watched = build_network(depth=8), build_network(depth=8)
    backward(bare)
    _, modulation = modulated(form, watched)
    factors = [*modulation.factors.tolist(), 1.0]
    for layer, (plain, scaled) in enumerate(zip(bare.convs, watched.convs, strict=True)):
        torch.testing.assert_close(scaled.weight.grad, plain.weight.grad * factors[layer])
        for name in ("weight", "bias"):
            plain_norm, scaled_norm = (getattr(net.norms[layer], name).grad for net in (bare, watched))
            torch.testing.assert_close(scaled_norm, plain_norm * factors[layer + 1])
    assert torch.equal(watched.classifier.weight.grad, bare.classifier.weight.grad)


def test_form_is_chosen_by_depth():
    options = {"rule": "pairwise", "band": 1.02, "target": "edge", "statistic": "norm"}
    assert isinstance(build_modulation(PlainCNN(200, width=1), **options), FastModulation)
    assert isinstance(build_modulation(PlainCNN(206, width=1), **options), InBackwardModulation)
    assert FAST_DEPTH_LIMIT == 200


def test_in_backward_form_survives_where_plain_errors_overflow():
    network = build_network(depth=602, dtype=torch.float32)
    _, modulation = modulated(InBackwardModulation, network, rule="pairwise", target="unit")
    assert gradients(network).isfinite().all()
    assert modulation.error_norms.isfinite().all()
    assert modulation.error_norms[0] > 1e38


def test_in_backward_magnitude_neither_overflows_nor_underflows():
    network = build_network(depth=8, dtype=torch.float32)
    modulation = InBackwardModulation(network, rule="off", band=1.0, target="edge", statistic="norm")
    for scale in (1e30, 1e-30, 0.0):
        magnitude = modulation._magnitude(torch.full((4, 4), scale))
        assert magnitude.item() == pytest.approx(4.0 * scale, rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_removed_hooks_are_gone(form):
    bare, watched = build_network(depth=8), build_network(depth=8)
    _, modulation = modulated(form, watched)
    modulation.remove()
    assert not any(module._forward_hooks for module in watched.modules())
    for network in (bare, watched):
        backward(network)
    # The watched net has run its statistics once more, which training mode does not use.
    assert torch.equal(gradients(bare), gradients(watched))


class Token:
    """Something to hang on a node of the graph; nodes themselves take no weak references."""


@pytest.mark.parametrize("form", FORMS)
def test_no_graph_outlives_its_step(form):
    network = build_network(depth=8)
    modulation = form(network, rule="pairwise", band=1.02, target="edge", statistic="norm")
    images, labels = batch()
    logits = network(images)
    loss = functional.cross_entropy(logits, labels)
    loss.backward()
    modulation.finish_backward()
    token = Token()
    logits.grad_fn.metadata["token"] = token
    graph = weakref.ref(token)
    gc.disable()
    try:
        del logits, loss, token
        assert graph() is None
    finally:
        gc.enable()
    assert not any(tensor.requires_grad for tensor in (modulation.error_norms, modulation.factors))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("rule", "target", "statistic"), OPTIONS)
def test_no_number_is_read_back_within_a_step(form, rule, target, statistic):
    network = build_network(depth=8)
    with NoHostReads():
        modulated(form, network, 0.5, rule=rule, target=target, statistic=statistic)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("rule", "target", "statistic"), OPTIONS)
def test_no_step_waits_for_the_gpu(form, rule, target, statistic):
    network = build_network(depth=8, dtype=torch.float32).cuda()
    modulation = form(network, rule=rule, band=1.02, target=target, statistic=statistic)
    images, labels = (tensor.cuda() for tensor in batch(torch.float32))
    torch.cuda.set_sync_debug_mode("error")
    try:
        functional.cross_entropy(network(images), labels).backward()
        modulation.finish_backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_bfloat16_autocast_measures_in_float32(form, channels_last):
    network = build_network(depth=8, dtype=torch.float32)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    modulation = form(network, rule="pairwise", band=1.02, target="edge", statistic="norm")
    images, labels = batch(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = functional.cross_entropy(network(images), labels)
    loss.backward()
    modulation.finish_backward()
    _, full = modulated(form, build_network(depth=8, dtype=torch.float32))
    assert modulation.error_norms.dtype == full.error_norms.dtype
    torch.testing.assert_close(modulation.error_norms, full.error_norms, rtol=0.1, atol=0)
    assert all(parameter.grad.dtype == torch.float32 for parameter in network.parameters())


def test_a_second_step_starts_afresh():
    network = build_network(depth=8)
    _, modulation = modulated(InBackwardModulation, network)
    first, once = gradients(network).clone(), modulation.factors.clone()
    backward(network)
    modulation.finish_backward()
    torch.testing.assert_close(gradients(network), first)
    torch.testing.assert_close(modulation.factors, once)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_compiled_network_is_modulated_alike_and_in_one_graph(architecture):
    plain, traced = (build_network(architecture, depth=8, dtype=torch.float32) for _ in range(2))
    options = {"rule": "pairwise", "band": 1.02, "target": "edge", "statistic": "norm"}
    compiled = torch.compile(traced, backend="aot_eager", fullgraph=True)
    for network, module in ((plain, plain), (traced, compiled)):
        modulation = FastModulation(network, **options)
        backward(module, torch.float32)
        modulation.finish_backward()
        assert modulation.fired.any()
    torch.testing.assert_close(gradients(traced), gradients(plain), rtol=1e-5, atol=1e-7)
