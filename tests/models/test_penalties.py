"""Penalties on one bank, for every entry of the table: zero sets, and closed-form gradients against autograd."""

import math

import pytest
import torch
from torch.nn import functional

from models.initializers import INITIALIZERS
from models.regularizers import REGULARIZERS

SHAPES = [(4, 3, 3, 3), (16, 1, 3, 3), (7, 2, 1, 1), (5, 5, 1, 1), (8, 4, 3, 3), (3, 2, 5, 5)]


def random_weight(shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def orthonormal_weight(shape):
    weight = torch.empty(shape, dtype=torch.float64)
    INITIALIZERS["orthonormal"](weight, torch.Generator().manual_seed(0))
    return weight


def delta_weight(shape):
    weight = torch.empty(shape, dtype=torch.float64)
    INITIALIZERS["delta_orthogonal"](weight, torch.Generator().manual_seed(0))
    return weight


PENALTIES = [name for name, entry in REGULARIZERS.items() if entry.value is not None]
DEFECT = 1e-8  # of a single-precision bank that counts as orthonormal: 1/2 ||W^T W - I||^2
CONSTRAINTS = [name for name, entry in REGULARIZERS.items() if entry.project is not None]
FAST = [name for name, entry in REGULARIZERS.items() if entry.fast_gradient is not None]

ORTHONORMAL = [orthonormal_weight(shape) for shape in SHAPES]

# For each entry, members of the zero set that it names, for stride 1.
ZEROS = {
    "none": [random_weight((4, 3, 3, 3))],
    "l2": [torch.zeros(4, 3, 3, 3, dtype=torch.float64)],
    "orthonormal": ORTHONORMAL,
    "mutual_coherence": ORTHONORMAL,
    "spectral_isometry": ORTHONORMAL,
    "convolutional": [delta_weight(shape) for shape in [(4, 8, 3, 3), (5, 5, 5, 5), (8, 4, 3, 3)]],
    "newton_schulz": ORTHONORMAL,
}

# Those that are not differentiable there have no gradient to speak of on their zero set.
SMOOTH = [name for name in PENALTIES if name not in ("mutual_coherence", "spectral_isometry")]


@pytest.mark.parametrize("name", PENALTIES)
def test_penalty_vanishes_on_the_zero_set(name):
    for weight in ZEROS[name]:
        assert REGULARIZERS[name].value(weight).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_of_a_smooth_penalty_vanishes_on_the_zero_set(name):
    for weight in ZEROS[name]:
        assert REGULARIZERS[name].gradient(weight).abs().max().item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraint_leaves_the_zero_set_alone_and_has_no_value(name):
    for weight in ZEROS[name]:
        projected = weight.clone()
        REGULARIZERS[name].project(projected)
        torch.testing.assert_close(projected, weight, rtol=0, atol=1e-12)
    assert REGULARIZERS[name].value is None
    assert REGULARIZERS[name].gradient is None


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (8, 4, 3, 3), (32, 16, 3, 3)])
def test_projection_reaches_the_zero_set_from_any_scale(name, scale, shape):
    weight = random_weight(shape) * scale
    REGULARIZERS[name].project(weight)
    assert REGULARIZERS["orthonormal"].value(weight).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("initializer", INITIALIZERS)
@pytest.mark.parametrize("shape", [(16, 1, 3, 3), (16, 3, 3, 3), (32, 16, 3, 3), (64, 64, 1, 1), (256, 64, 1, 1)])
def test_training_on_a_constraint_begins_there_and_small_steps_stay_small(name, initializer, shape):
    """From every initialiser, whether its bank lacks rank or is square: a stem, a widening, pointwise convolutions.

    Without the start a step of 1e-3 moved banks without full rank by .15 to .32, and their defect stayed at 6 to 16.
    """
    weight, draw = torch.empty(shape), torch.Generator().manual_seed(0)
    INITIALIZERS[initializer](weight, draw)
    REGULARIZERS[name].start(weight)
    assert REGULARIZERS["orthonormal"].value(weight).item() < DEFECT
    step = torch.randn(shape, generator=draw)
    step *= 1e-3 * weight.norm() / step.norm()
    stepped = weight + step
    REGULARIZERS[name].project(stepped)
    assert REGULARIZERS["orthonormal"].value(stepped).item() < DEFECT
    assert (stepped - weight).norm() <= 1.01 * step.norm()


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_the_start_on_a_constraint_keeps_what_a_bank_spans(name):
    weight = delta_weight((8, 4, 3, 3))
    before = weight.clone().flatten(1)
    REGULARIZERS[name].start(weight)
    torch.testing.assert_close(before.mT @ weight.flatten(1), before.mT @ before, rtol=0, atol=1e-12)


def test_newton_schulz_finds_the_nearest_orthonormal_bank():
    """The polar factor: U V^T of the singular value decomposition."""
    weight = random_weight((4, 3, 3, 3))
    left, _, right = torch.linalg.svd(weight.flatten(1), full_matrices=False)
    REGULARIZERS["newton_schulz"].project(weight)
    torch.testing.assert_close(weight.flatten(1), left @ right, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("shape", SHAPES)
def test_fast_gradient_approaches_the_exact_one(name, shape):
    weight = random_weight(shape)
    entry = REGULARIZERS[name]
    torch.testing.assert_close(entry.fast_gradient(weight), entry.gradient(weight), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", [name for name in PENALTIES if name != "none"])
@pytest.mark.parametrize("shape", SHAPES)
def test_penalty_is_positive_off_the_zero_set(name, shape):
    assert REGULARIZERS[name].value(random_weight(shape)).item() > 0.01


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_closed_form_gradient_equals_autograd(name, stride, shape):
    weight = random_weight(shape).requires_grad_()
    value = REGULARIZERS[name].value(weight, stride=stride)
    assert value.shape == ()
    (expected,) = torch.autograd.grad(value, weight)
    closed = REGULARIZERS[name].gradient(weight.detach(), stride=stride)
    torch.testing.assert_close(closed, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_stack_is_handled_as_its_members(name, shape):
    weights = [random_weight(shape, seed) for seed in range(3)]
    entry = REGULARIZERS[name]
    for function in filter(None, (entry.value, entry.gradient, entry.fast_gradient)):
        together = function(torch.stack(weights), stride=2)
        torch.testing.assert_close(together, torch.stack([function(one, stride=2) for one in weights]))


@pytest.mark.parametrize("name", [name for name, entry in REGULARIZERS.items() if entry.scaled_gradient_of])
@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (0, 1, 3, 4, 2)], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_of_a_stack_follows_what_it_holds(name, order, shape):
    stack = torch.stack([random_weight(shape, seed) for seed in range(3)])
    stack = stack.permute(order).contiguous().permute([order.index(axis) for axis in range(5)])
    answer = REGULARIZERS[name].scaled_gradient_of(stack)
    for strength in (1.0, 0.5):
        torch.testing.assert_close(answer(strength), strength * REGULARIZERS[name].gradient(stack))
        stack.mul_(0.5)


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_stack_is_projected_as_its_members(name, shape):
    weights = [random_weight(shape, seed) for seed in range(3)]
    stack = torch.stack(weights)
    for weight in (stack, *weights):
        REGULARIZERS[name].project(weight)
    torch.testing.assert_close(stack, torch.stack(weights))


@pytest.mark.parametrize("name", PENALTIES)
def test_memory_format_makes_no_difference(name):
    weight = random_weight((8, 4, 3, 3))
    other = weight.to(memory_format=torch.channels_last)
    for function in (REGULARIZERS[name].value, REGULARIZERS[name].gradient):
        torch.testing.assert_close(function(other), function(weight), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PENALTIES)
def test_no_regulariser_changes_the_weight_or_the_global_generator(name):
    weight, before = random_weight((8, 4, 3, 3)), torch.get_rng_state()
    REGULARIZERS[name].gradient(weight)
    REGULARIZERS[name].value(weight)
    assert torch.equal(weight, random_weight((8, 4, 3, 3)))
    assert torch.equal(before, torch.get_rng_state())


def test_grouped_entry_leaves_wide_banks_alone_where_an_ungrouped_one_would_pull():
    weight = orthonormal_weight((16, 1, 3, 3))
    matrix = weight.flatten(1)
    whole = 0.5 * (matrix @ matrix.mT - torch.eye(16, dtype=torch.float64)).square().sum()
    assert REGULARIZERS["orthonormal"].value(weight) < 1e-20
    assert whole > 1.0


def test_double_sided_penalty_is_twice_the_single_sided_one_plus_a_constant():
    """||W^T W - I||^2 + ||W W^T - I||^2 = 2 ||W^T W - I||^2 + f_in - f_out, so it is no regulariser of its own."""
    matrix = random_weight((4, 3, 3, 3)).flatten(1).mT
    f_in, f_out = matrix.shape
    columns = (matrix.mT @ matrix - torch.eye(f_out, dtype=torch.float64)).square().sum()
    rows = (matrix @ matrix.mT - torch.eye(f_in, dtype=torch.float64)).square().sum()
    torch.testing.assert_close(columns + rows, 2 * columns + f_in - f_out)
    torch.testing.assert_close(columns, 2 * REGULARIZERS["orthonormal"].value(random_weight((4, 3, 3, 3))))


def test_golden_values():
    weight = torch.arange(1.0, 13.0, dtype=torch.float64).reshape(3, 4, 1, 1) / 10
    assert REGULARIZERS["l2"].value(weight).item() == pytest.approx(3.25)
    filters = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8], [0.9, 1.0, 1.1, 1.2]]
    residuals = [sum(map(math.prod, zip(a, b, strict=True))) - (a is b) for a in filters for b in filters]
    assert REGULARIZERS["orthonormal"].value(weight).item() == pytest.approx(
        sum(residual**2 for residual in residuals) / 2
    )


def dense_operator(weight, size, stride):
    """The circular convolution as a matrix (outputs, inputs)."""
    pixels = torch.eye(weight.shape[1] * size * size, dtype=weight.dtype).reshape(-1, weight.shape[1], size, size)
    reach = weight.shape[-1] - 1
    return (
        functional.conv2d(functional.pad(pixels, (0, reach, 0, reach), mode="circular"), weight, stride=stride)
        .flatten(1)
        .mT
    )


@pytest.mark.parametrize(
    ("shape", "stride"), [((3, 4, 3, 3), 1), ((5, 3, 3, 3), 1), ((3, 4, 3, 3), 2), ((9, 2, 3, 3), 2)]
)
def test_convolutional_penalty_is_that_of_the_operator_per_output_pixel(shape, stride):
    """On a torus large enough that no two shifts coincide, ||A A^T - I||^2 (or A^T A) repeats itself at every pixel."""
    weight, size = random_weight(shape), 12
    operator = dense_operator(weight, size, stride)
    gram = operator @ operator.mT if shape[0] <= shape[1] * stride**2 else operator.mT @ operator
    residual = gram - torch.eye(len(gram), dtype=gram.dtype)
    pixels = (size // stride) ** 2
    value = REGULARIZERS["convolutional"].value(weight, stride=stride)
    torch.testing.assert_close(value, 0.5 * residual.square().sum() / pixels, rtol=1e-10, atol=0)


def test_convolutional_penalty_sees_what_orthonormal_filters_do_not():
    assert REGULARIZERS["convolutional"].value(orthonormal_weight((8, 4, 3, 3))) > 1.0
