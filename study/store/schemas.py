"""The columns of the three result tables, each under one explicit schema. Knows nothing of Ray or torch."""

import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

import pyarrow as pa

from study.config import TrialConfig

Row = Mapping[str, Any]
_ARROW_TYPES: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_TIME = pa.timestamp("us", tz="UTC")


def _arrow_type(annotation: Any) -> pa.DataType:
    """The column type of a TrialConfig field."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return pa.string()
    if origin is tuple:
        return pa.list_(_arrow_type(arguments[0]))
    if origin in {Union, types.UnionType}:
        return _arrow_type(next(argument for argument in arguments if argument is not type(None)))
    if hasattr(annotation, "__metadata__"):  # Annotated[float, Field(...)]
        return _arrow_type(arguments[0])
    return _ARROW_TYPES[annotation]


def _schema(**columns: Any) -> pa.Schema:
    return pa.schema([(name, _ARROW_TYPES.get(kind, kind)) for name, kind in columns.items()])


def _config_columns() -> dict[str, pa.DataType]:
    return {name: _arrow_type(info.annotation) for name, info in TrialConfig.model_fields.items()}


SCHEMAS: dict[str, pa.Schema] = {
    "trials": _schema(
        **dict.fromkeys(("run", "sweep", "cell", "phase", "trial_id", "status", "error"), str),
        attempts=int,
        resumed_epochs=int,
        recipe=str,
        **_config_columns(),
        **dict.fromkeys(("val_accuracy", "best_val_accuracy", "test_accuracy", "train_loss", "val_loss"), float),
        **dict.fromkeys(("train_accuracy", "val_accuracy_batch_statistics"), float),
        **dict.fromkeys(("epochs_completed", "steps_completed", "parameters", "num_classes"), int),
        **dict.fromkeys(("train_seconds", "images_per_second"), float),
        **dict.fromkeys(("peak_memory_bytes", "cpu_threads"), int),
        **dict.fromkeys(("device", "host"), str),
        **dict.fromkeys(("started_at", "finished_at"), _TIME),
        **dict.fromkeys(("config_hash", "commit"), str),
    ),
    "epochs": _schema(
        trial_id=str,
        epoch=int,
        **dict.fromkeys(("learning_rate", "train_loss", "val_loss", "train_accuracy", "val_accuracy"), float),
        val_accuracy_batch_statistics=float,
        **dict.fromkeys(("orthonormality_defect", "modulated_fraction", "error_norm_ratio", "seconds"), float),
    ),
    "layers": _schema(
        trial_id=str,
        **dict.fromkeys(("epoch", "layer", "stage"), int),
        **dict.fromkeys(("error_norm", "modulation_factor"), float),
        modulation_fired=bool,
        gram_defect=float,
        **dict.fromkeys(("singular_value_min", "singular_value_max", "singular_value_mean"), float),
        **dict.fromkeys(("weight_norm", "mean_cosine", "dead_fraction"), float),
    ),
}


def to_arrow(name: str, rows: Iterable[Row]) -> pa.Table:
    """Rows under the table's schema; a missing column is null.

    Raises:
        ValueError: a row has a column that the schema lacks.
    """
    rows, schema = list(rows), SCHEMAS[name]
    strange = sorted({column for row in rows for column in row} - set(schema.names))
    if strange:
        raise ValueError(f"table {name} has no column {', '.join(strange)}; it has {', '.join(schema.names)}")
    return pa.Table.from_pylist(rows, schema=schema)
