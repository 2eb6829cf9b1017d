"""Named ways to train that several sweeps compare: each a function from the cell's fields to its own."""

from search_spaces.sweep import Fields, Recipe

LEARNING_RATE_SHALLOW = 0.1  # He et al. 2016
DEEP = 44  # from about here 0.1 makes plain nets lose accuracy or diverge on small data


def learning_rate(depth: int) -> float:
    """0.1 while the net is shallow, 1/depth from `DEEP` layers on: 0.023 at 44, 0.009 at 110."""
    return LEARNING_RATE_SHALLOW if depth < DEEP else round(1.0 / depth, 4)


def modulation_band(depth: int) -> float:
    """1 + 0.5/depth: 1.025 at 20, 1.0045 at 110. Ratios inside it multiply up, so a deeper net wants a narrower one."""
    return round(1.0 + 0.5 / depth, 4)


def isometric_slope(depth: int) -> float:
    """1 - 55/depth, and never below 0.3: 0.3 up to 78 layers, 0.5 at 110, 0.82 at 302."""
    return max(0.3, round(1.0 - 55.0 / depth, 3))


def he_l2(fields: Fields) -> Fields:
    """What everybody does: He's initialisation and weight decay."""
    return {
        "architecture": "plain",
        "initializer": "he",
        "regularizer": "l2",
        "regularizer_strength": 1e-4,
        "modulation": "off",
        "learning_rate": learning_rate(fields["depth"]),
    }


def orthonormal(fields: Fields) -> Fields:
    """The paper's first ingredient alone: orthonormal start, orthonormality in place of weight decay."""
    return he_l2(fields) | {"initializer": "orthonormal", "regularizer": "orthonormal"}


def orthonormal_modulated(fields: Fields) -> Fields:
    """The paper: orthonormality, and the error brought back to one magnitude where consecutive layers mismatch."""
    band = modulation_band(fields["depth"])
    return orthonormal(fields) | {"modulation": "pairwise", "modulation_band": band, "modulation_target": "edge"}


def open_relu(fields: Fields) -> Fields:
    """The paper's, with every normalisation's bias at 1, so that ReLUs begin mostly open: a choice beside the paper."""
    return orthonormal_modulated(fields) | OPEN


def isometric(fields: Fields) -> Fields:
    """Ours: a norm-preserving start, and a slope that goes to 1 with depth, so that each layer has less to undo."""
    return orthonormal_modulated(fields) | {"initializer": "delta_orthogonal"} | leaky(fields["depth"])


def residual(fields: Fields) -> Fields:
    """The twin to match: the same convs with parameter-free shortcuts, He's initialisation and weight decay."""
    return he_l2(fields) | {"architecture": "residual"}


OPEN: Fields = {"norm_bias_init": 1.0}


def leaky(depth: int) -> Fields:
    """`isometric`'s activation."""
    return {"activation": "leaky_relu", "activation_slope": isometric_slope(depth)}


def he_l2_leaky(fields: Fields) -> Fields:
    """`he_l2` with `isometric`'s slope, so that the two differ in nothing of the activation."""
    return he_l2(fields) | leaky(fields["depth"])


def residual_leaky(fields: Fields) -> Fields:
    """The twin with `isometric`'s slope."""
    return residual(fields) | leaky(fields["depth"])


def residual_open(fields: Fields) -> Fields:
    """The twin with `open_relu`'s bias."""
    return residual(fields) | OPEN


def he_l2_open(fields: Fields) -> Fields:
    """`he_l2` with `open_relu`'s bias."""
    return he_l2(fields) | OPEN


def changed(recipe: Recipe, changes: Fields) -> Recipe:
    """A recipe with some of its fields replaced: a neighbour that differs from it in these alone."""
    return lambda fields: recipe(fields) | changes


UNMODULATED: Fields = {"modulation": "off"}
UNPENALIZED: Fields = {"regularizer": "none"}

WITHOUT_ONE: dict[str, Recipe] = {
    # `orthonormal` is the paper's without modulation.
    "paper_without_penalty": changed(orthonormal_modulated, UNPENALIZED),
    "paper_without_start": changed(orthonormal_modulated, {"initializer": "he"}),
    "open_relu_without_modulation": changed(open_relu, UNMODULATED),
    "isometric_without_modulation": changed(isometric, UNMODULATED),
    "isometric_without_penalty": changed(isometric, UNPENALIZED),
    "isometric_without_slope": changed(isometric, {"activation": "relu", "activation_slope": 0.0}),
    "isometric_without_start": changed(isometric, {"initializer": "orthonormal"}),
}
"""The paper's recipe, the open one and ours, one ingredient left out at a time."""

RECIPES: dict[str, Recipe] = {
    "he_l2": he_l2,
    "orthonormal": orthonormal,
    "orthonormal_modulated": orthonormal_modulated,
    "isometric": isometric,
    "residual": residual,
    "open_relu": open_relu,
}
"""What the main sweep compares at every depth."""
