"""Named ways to train that several sweeps compare: each a function from the cell's fields to its own."""

from search_spaces.sweep import Fields, Recipe

LEARNING_RATE_SHALLOW, LEARNING_RATE_DEEP = 0.1, 0.02
DEEP = 44  # from about here a rate of 0.1 makes plain ReLU nets lose accuracy or diverge on small data


def learning_rate(fields: Fields) -> float:
    """He et al.'s 0.1 while the net is shallow, a fifth of it from `DEEP` layers on."""
    return LEARNING_RATE_SHALLOW if fields["depth"] < DEEP else LEARNING_RATE_DEEP


def he_l2(fields: Fields) -> Fields:
    """What everybody does: He's initialisation and weight decay."""
    return {
        "architecture": "plain",
        "initializer": "he",
        "regularizer": "l2",
        "regularizer_strength": 1e-4,
        "modulation": "off",
        "learning_rate": learning_rate(fields),
    }


def orthonormal(fields: Fields) -> Fields:
    """The paper's first ingredient alone: orthonormal start, orthonormality in place of weight decay."""
    return he_l2(fields) | {"initializer": "orthonormal", "regularizer": "orthonormal"}


def orthonormal_modulated(fields: Fields) -> Fields:
    """The paper: orthonormality, and the error brought back to one magnitude where consecutive layers mismatch."""
    return orthonormal(fields) | {"modulation": "pairwise", "modulation_band": 1.02, "modulation_target": "edge"}


def isometric(fields: Fields) -> Fields:
    """Ours: a norm-preserving start whose slope and band go to 1 with depth, so that each layer has less to undo."""
    depth = fields["depth"]
    return orthonormal_modulated(fields) | {
        "initializer": "delta_orthogonal",
        "activation": "leaky_relu",
        "activation_slope": isometric_slope(depth),
        "modulation_band": min(1.1, round(1.0 + 2.0 / depth, 4)),
    }


def isometric_slope(depth: int) -> float:
    """1 - 55/depth, and never below 0.3: 0.3 up to 78 layers, 0.5 at 110, 0.82 at 302."""
    return max(0.3, round(1.0 - 55.0 / depth, 3))


def residual(fields: Fields) -> Fields:
    """The twin to match: the same convs with parameter-free shortcuts, He's initialisation and weight decay."""
    return he_l2(fields) | {"architecture": "residual"}


RECIPES: dict[str, Recipe] = {
    "he_l2": he_l2,
    "orthonormal": orthonormal,
    "orthonormal_modulated": orthonormal_modulated,
    "isometric": isometric,
    "residual": residual,
}
