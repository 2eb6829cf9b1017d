"""Command lines and what they print, whatever they are about. No study here.

The fields of a dataclass declare options; errors stand on one line; readers may leave early; tables know their width.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import Field, field, fields, is_dataclass
from difflib import get_close_matches
from io import TextIOWrapper
from typing import Any, NoReturn, TypeVar, cast

from rich.console import Console

# Exit codes; 2 is argparse's own for what the user must change, 130 what a shell expects after Ctrl-C.
PIPE_CLOSED, BAD_INPUT, INTERRUPTED = 1, 2, 130
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
PIPED_WIDTH = 120  # columns off a terminal, so that a table in a file is hardly ever folded

T = TypeVar("T")


class Parser(argparse.ArgumentParser):
    """argparse, with bad input answered by one line."""

    def error(self, message: str) -> NoReturn:
        """One line and exit code 2; for an option that there is not, with the one of nearly that name."""
        unknown = re.match(r"unrecognized arguments: (--[^ =]+)", message)
        hint = did_you_mean(unknown[1], re.findall(r"--[a-z][a-z-]*", self.format_help())) if unknown else ""
        self.exit(BAD_INPUT, f"error: {message}{hint} (see --help)\n")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean depth?`, or nothing where no known name is near."""
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def option(default: Any, flag: str | None = None, **arguments: Any) -> Any:
    """A field of a dataclass that is also an option: `--its-name`, or `flag`; `arguments` are those of argparse."""
    return field(default=default, metadata={"flag": flag, "arguments": arguments})


def declared(kind: Any) -> list[Field[Any]]:
    """The fields of a dataclass that are options, and those of the dataclasses in it, in order."""
    found: list[Field[Any]] = []
    for one in fields(kind):
        inner: Any = one.default_factory
        found += declared(inner) if is_dataclass(inner) else [one] if one.metadata else []
    return found


def add_options(parser: Any, options: Iterable[Field[Any]]) -> None:
    """Give a parser, or a group of one, the options that these fields declare."""
    for one in options:
        form = {"action": "store_true"} if one.default is False else {"default": one.default}
        parser.add_argument(flag_of(one), dest=one.name, **form, **one.metadata["arguments"])


def flag_of(one: Field[Any]) -> str:
    """The option of a field, as a user writes it."""
    return one.metadata["flag"] or f"--{one.name.replace('_', '-')}"


def read_options(kind: Callable[..., T], parsed: argparse.Namespace, **others: Any) -> T:
    """The dataclass as the command line has it; `others` are its fields that are no options."""
    outer: Any = kind
    for one in fields(outer):
        inner: Any = one.default_factory
        if one.metadata:
            others[one.name] = getattr(parsed, one.name)
        elif is_dataclass(inner):
            others[one.name] = read_options(cast(Any, inner), parsed)
    return kind(**others)


def number(kind: Callable[[str], T], allowed: Callable[[T], bool], wanted: str) -> Callable[[str], T]:
    """A type of an option: what `kind` makes of the text, where it is `allowed`; else the text is not `wanted`."""

    def parse(text: str) -> T:
        try:
            value = kind(text)
        except ValueError:
            pass
        else:
            if allowed(value):
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")

    return parse


positive_int = number(int, lambda value: value >= 1, "a whole number of at least 1")
count = number(int, lambda value: value >= 0, "a whole number of at least 0")
positive_float = number(float, lambda value: 0 < value < float("inf"), "a number above 0")
share = number(float, lambda value: 0 <= value < float("inf"), "a number of at least 0")


def duration(text: str) -> float:
    """Seconds of `90s`, `30m`, `2h` or `1h30m`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    seconds = sum(float(amount) * UNITS[unit] for amount, unit in parts)
    if "".join(amount + unit for amount, unit in parts) != text or not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 90s, 30m, 2h or 1h30m")
    return seconds


def at_terminal() -> bool:
    """Whether somebody is there to read a question and to answer it."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def spelled(seconds: float) -> str:
    """A length of time for people: `40 seconds`, `12 minutes`, `3.4 hours`, `2.3 days`."""
    for limit, size, unit in ((90.0, 1.0, "seconds"), (90 * 60.0, 60.0, "minutes"), (48 * 3600.0, 3600.0, "hours")):
        if seconds < limit:
            return f"{seconds / size:.{int(unit == 'hours')}f} {unit}"
    return f"{seconds / 86400.0:,.1f} days"


def exit_code(command: Callable[[], int], refusals: tuple[type[Exception], ...] = (ValueError,)) -> int:
    """The exit code of `command`, with its `refusals` told on one line.

    Where the reader of a pipe, such as `head`, has left, or the user presses Ctrl-C, it ends without a word. What the
    terminal's encoding lacks is shown as a question mark.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # not what a notebook or a test puts in its place
        sys.stdout.reconfigure(errors="replace")
    try:
        code = command()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's own flush would fail too
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except refusals as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    return code


def listing_console() -> Console:
    """Where tables are printed: as wide as the terminal, or as COLUMNS says, else PIPED_WIDTH."""
    fixed = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(width=fixed, highlight=False)


def plural(count: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
