"""TrialConfig: every knob of one training run, with its unit and range. Never imports torch or Ray.

A field's name is also its key in a sweep file, the Optuna parameter, the Ray config key and the Parquet column.
Names that live in tables (data sets, initialisers, regularisers, schedules, activations, optimisers) are plain strings
here and are checked by `study.planning.names.check_names`, so that reading a config needs no torch.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.layouts import check_cifar_depth, check_imagenet_depth
from study.terminal import did_you_mean

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(ge=1)]

DEPTH_CHECKS = {"cifar": check_cifar_depth, "imagenet": check_imagenet_depth}  # by network_size

HOUSEKEEPING = {"checkpoint_every_epochs"}  # fields that change no record, so a run may change them
LATER_FIELDS = {"image_size", "train_images", "norm_statistics"}  # unknown to older runs: at their defaults not hashed

OBJECTIVES: dict[str, Literal["maximize", "minimize"]] = {
    "val_accuracy": "maximize",
    "train_seconds": "minimize",
    "parameters": "minimize",
    "peak_memory_bytes": "minimize",
}
"""What can be an objective of a search: columns of `trials`, and which way is better, in Optuna's words."""

SEARCH, CONFIRM = "search", "confirm"  # the two phases of a cell, and the values of the column `phase`


class Proxy(NamedTuple):
    """The images that a trial sees: a data set, or a cheap stand-in for it with smaller or fewer images.

    Attributes:
        image_size: pixels a side; None: the set's own.
        train_images: how many are trained on; None: all.
    """

    dataset: str
    image_size: int | None = None
    train_images: int | None = None

    @property
    def name(self) -> str:
        """`digits`, `digits@4x4`, `digits/200` or `digits@4x4/200`: the key of its baselines in run.json."""
        size = "" if self.image_size is None else f"@{self.image_size}x{self.image_size}"
        count = "" if self.train_images is None else f"/{self.train_images}"
        return f"{self.dataset}{size}{count}"


class TrialConfig(BaseModel):
    """One training run. Frozen, strict about names, types and ranges."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    dataset: str = "digits"
    augmentation: Literal["none", "crop", "standard"] = "none"  # standard mirrors too, but for digits: not so crop
    image_size: Annotated[int, Field(ge=4)] | None = None
    train_images: Annotated[int, Field(ge=2)] | None = None

    architecture: Literal["plain", "residual"] = "plain"
    network_size: Literal["cifar", "imagenet"] = "cifar"
    depth: int = 20
    width: Annotated[int, Field(ge=1, le=1024)] = 16
    activation: str = "relu"
    activation_slope: Fraction = 0.0
    norm_bias_init: Annotated[float, Field(ge=-10.0, le=10.0)] = 0.0
    norm_statistics: Literal["running", "precise"] = "running"
    initializer: str = "he"

    regularizer: str = "l2"
    regularizer_strength: Annotated[float, Field(ge=0.0, le=10.0)] = 1e-4
    regularizer_schedule: str = "constant"
    regularizer_cutoff: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0

    modulation: Literal["off", "pairwise", "cumulative"] = "off"
    modulation_band: Annotated[float, Field(ge=1.0, le=100.0)] = 1.02
    modulation_target: Literal["edge", "unit"] = "edge"
    modulation_statistic: Literal["norm", "mean"] = "norm"
    modulation_schedule: str = "constant"
    modulation_cutoff: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0

    optimizer: str = "sgd"
    learning_rate: Annotated[float, Field(gt=0.0, le=10.0)] = 0.1
    learning_rate_schedule: str = "step"
    learning_rate_drops: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = (0.5, 0.75)
    warmup_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    nesterov: bool = False
    gradient_clip: Annotated[float, Field(gt=0.0)] | None = None
    gradient_clip_scope: Literal["global", "layer"] = "global"

    batch_size: Annotated[int, Field(ge=2)] = 128
    epochs: PositiveInt | None = None
    steps: PositiveInt | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    compile_step: bool = False
    diagnostics_every_epochs: PositiveInt = 10
    checkpoint_every_epochs: PositiveInt | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="before")
    @classmethod
    def _accept_lists_for_tuples(cls, values: Any) -> Any:
        """JSON, Parquet and the command line know lists only."""
        if isinstance(values, dict) and isinstance(values.get("learning_rate_drops"), list):
            return {**values, "learning_rate_drops": tuple(values["learning_rate_drops"])}
        return values

    @model_validator(mode="after")
    def _depth_is_buildable(self) -> Self:
        DEPTH_CHECKS[self.network_size](self.depth)
        return self

    @model_validator(mode="after")
    def _length_is_given_once(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"give epochs or steps, one of the two: epochs={self.epochs}, steps={self.steps}")
        return self

    @model_validator(mode="after")
    def _slope_acts(self) -> Self:
        if self.activation != "leaky_relu" and self.activation_slope != 0.0:
            raise ValueError(
                f"activation_slope {self.activation_slope} needs activation=leaky_relu: {self.activation} has none"
            )
        return self

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov = True needs momentum above 0: momentum = 0.0")
        return self

    @model_validator(mode="after")
    def _drops_ascend(self) -> Self:
        if list(self.learning_rate_drops) != sorted(set(self.learning_rate_drops)):
            raise ValueError(f"learning_rate_drops {self.learning_rate_drops} must ascend without repeats")
        return self

    @property
    def config_hash(self) -> str:
        """Twelve hex digits that configs share whose records are equal, whichever version wrote them."""
        defaults = {name: type(self).model_fields[name].default for name in LATER_FIELDS}
        fields = self.model_dump(exclude=HOUSEKEEPING)
        known = {name: value for name, value in fields.items() if name not in defaults or value != defaults[name]}
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def proxy(self) -> Proxy:
        """The images that the trial sees."""
        return Proxy(self.dataset, self.image_size, self.train_images)

    def steps_per_epoch(self, train_images: int) -> int:
        """Gradient steps in one pass over a training split of `train_images`, or over the part that is trained on.

        The last, smaller batch counts, unless it is of one image: batch normalisation needs two.
        """
        images = self.train_images or train_images
        return -(-images // self.batch_size) - (images % self.batch_size == 1)

    def total_steps(self, train_images: int) -> int:
        """Gradient steps of the whole run on a training set of `train_images`."""
        return self.steps or (self.epochs or 0) * self.steps_per_epoch(train_images)


def parse_config(values: dict[str, Any], *, where: str) -> TrialConfig:
    """Validate `values`; a ValueError names field, value and allowed range on one line, prefixed by `where`."""
    try:
        return TrialConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{where}: {describe(error)}") from None


def plain(value: Any) -> Any:
    """The value with numpy's scalars and arrays, at any depth of lists and tuples, as Python's."""
    if type(value).__module__ == "numpy":
        return value.tolist()
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    return value


def refuse_unknown(what: str, name: str, known: Iterable[str], where: str = "") -> None:
    """ValueError, with the known names and the nearest of them, when `name` is none of them."""
    known = list(known)
    if name not in known:
        raise ValueError(f"{where}unknown {what} {name!r}: known are {', '.join(known)}{did_you_mean(name, known)}")


def describe(error: ValidationError) -> str:
    """Pydantic's findings on one line, each as `field = value: what is allowed`."""
    return "; ".join(_describe_one(finding) for finding in error.errors())


def _describe_one(finding: Any) -> str:
    message = finding["msg"].removeprefix("Value error, ")
    field = ".".join(str(part) for part in finding["loc"])
    if finding["type"] == "extra_forbidden":
        known = TrialConfig.model_fields
        return f"{field} is no field of a trial; the fields are {', '.join(known)}{did_you_mean(field, known)}"
    return f"{field} = {finding['input']!r}: {message[0].lower()}{message[1:]}" if field else message
