"""What `FIELD=VALUE` of `--set` and `--compare` means: from words to the values of fields, and back."""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, get_args, get_origin

from study.config import TrialConfig, plain

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
TRUTH = {"True": True, "False": False}
OTHER_LENGTH = {"epochs": "steps", "steps": "epochs"}


def parse_value(text: str) -> Any:
    """A value from the command line: a number, true or null as JSON or Python has it, a list at commas, else text."""
    with suppress(json.JSONDecodeError):
        return json.loads(text)
    if NUMBER.fullmatch(text):  # `.1` is none in JSON
        return float(text)
    if "," in text and not text.startswith("["):
        return [parse_value(part) for part in text.split(",")]
    return TRUTH.get(text, text)


def written(name: str, value: Any) -> str:
    """The words that `parse_value` reads as this value, without brackets or quotes where it needs none.

    Raises:
        ValueError: it is nothing that JSON can hold.
    """
    value = plain(value)
    if isinstance(value, str) and parse_value(value) == value:
        return value
    if isinstance(value, list | tuple):
        words = ",".join(written(name, one) for one in value)
        if parse_value(words) == list(value):
            return words
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError(f"{name} = {value!r}: give numbers, words, true, false, null, or a list of them") from None


def several_values(name: str, text: str) -> list[Any]:
    """The values of a compared name; a field that is null somewhere may be told so as Python does."""
    values = parse_value(text)
    values = values if isinstance(values, list) else [values]
    return [_meant_for(name, value) for value in values] if name in TrialConfig.model_fields else values


def single_values(settings: Mapping[str, str], compared: Iterable[str]) -> dict[str, Any]:
    """The values of fields that are not compared.

    Setting epochs unsets the steps that a scale declares, and the other way round.

    Raises:
        ValueError: several values for a field that takes one.
    """
    compared = list(compared)
    values = {name: _meant_for(name, parse_value(text)) for name, text in settings.items() if name not in compared}
    for name, value in values.items():
        if isinstance(value, list) and not _takes_list(name):
            which = f"here {', '.join(compared)}" if compared else "and this sweep compares none"
            raise ValueError(
                f"{name} = {settings[name]}: only compared fields take several values, {which}; "
                f"--compare {name}={settings[name]} compares this one too"
            )
    return of_one_length(values)


def of_one_length(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with steps unset where epochs are given and the other way round."""
    values = {name: plain(value) for name, value in values.items()}
    return {OTHER_LENGTH[name]: None for name in values if name in OTHER_LENGTH} | values


def acting(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields without the length, epochs or steps, that is not given."""
    return {name: value for name, value in fields.items() if value is not None or name not in OTHER_LENGTH}


def _meant_for(name: str, value: Any) -> Any:
    """The value as its field knows it: null may also be written as Python does, and a list of one without brackets."""
    if value == "None" and type(None) in get_args(TrialConfig.model_fields[name].annotation):
        return None
    return [value] if _takes_list(name) and not isinstance(value, list) else value


def _takes_list(name: str) -> bool:
    return get_origin(TrialConfig.model_fields[name].annotation) is tuple
