"""What is printed, whatever it says: errors on one line, readers that leave early, widths, plurals. No study here."""

import argparse
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import NoReturn

from rich.console import Console

# Exit codes; 2 is argparse's own for what the user must change, 130 what a shell expects after Ctrl-C.
PIPE_CLOSED, BAD_INPUT, INTERRUPTED = 1, 2, 130
PIPED_WIDTH = 120  # columns off a terminal, so that a table in a file is hardly ever folded


class Parser(argparse.ArgumentParser):
    """argparse, with bad input answered by one line."""

    def error(self, message: str) -> NoReturn:
        """One line and exit code 2."""
        self.exit(BAD_INPUT, f"error: {message} (see --help)\n")


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
