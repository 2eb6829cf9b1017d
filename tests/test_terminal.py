"""How commands end."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from study.terminal import (
    BAD_INPUT,
    INTERRUPTED,
    PIPE_CLOSED,
    Parser,
    add_options,
    declared,
    duration,
    exit_code,
    option,
    positive_int,
    read_options,
    spelled,
)


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


def test_a_command_gives_its_own_code() -> None:
    assert exit_code(lambda: 7) == 7


def test_a_refusal_is_told_on_one_line_and_other_errors_are_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(ValueError("no such run"))) == BAD_INPUT
    assert exit_code(raising(OSError("no such bucket")), (ValueError, OSError)) == BAD_INPUT
    assert capsys.readouterr() == ("", "error: no such run\nerror: no such bucket\n")
    with pytest.raises(KeyError):
        exit_code(raising(KeyError("a bug")))


def test_ctrl_c_ends_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(KeyboardInterrupt())) == INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_leaves_early_ends_it_without_a_word() -> None:
    code = (
        "import sys; from study.terminal import exit_code; sys.exit(exit_code(lambda: print('line\\n' * 10**6) or 0))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        command.stdout.readline()
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode == PIPE_CLOSED


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "2d", "0s", "-1h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no duration"):
        duration(text)


@dataclass(frozen=True)
class Inner:
    """Options within others."""

    name: str = option("a", choices=("a", "b"), help="which one")
    loud: bool = option(False, help="louder")


@dataclass(frozen=True)
class Outer:
    """Options, and a field that is none."""

    given: tuple[int, ...] = ()
    most_of_all: int | None = option(None, type=positive_int, metavar="N", help="how many")
    inner: Inner = field(default_factory=Inner)
    wait_seconds: float = option(60.0, "--wait", type=duration, help="how long")


def parsed(*words: str) -> Outer:
    parser = Parser()
    add_options(parser, declared(Outer))
    return read_options(Outer, parser.parse_args(words), given=(1,))


def test_fields_make_options_in_their_order_and_options_make_the_dataclass() -> None:
    assert [one.name for one in declared(Outer)] == ["most_of_all", "name", "loud", "wait_seconds"]
    assert parsed() == Outer(given=(1,))
    words = ("--most-of-all", "3", "--name", "b", "--loud", "--wait", "2m")
    assert parsed(*words) == Outer((1,), 3, Inner("b", loud=True), 120.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--most-of-all", "0"], "error: argument --most-of-all: '0' is not a whole number of at least 1 (see --help)"),
        (["--most-of-all", "x"], "error: argument --most-of-all: 'x' is not a whole number of at least 1 (see --help)"),
        (["--name", "c"], "error: argument --name: invalid choice: 'c' (choose from"),
        (["--wait", "1"], "error: argument --wait: '1' is no duration: write 90s, 30m, 2h or 1h30m (see --help)"),
        (["--others"], "error: unrecognized arguments: --others (see --help)"),
    ],
)
def test_bad_options_are_told_on_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        parsed(*words)
    assert leaving.value.code == BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_what_an_encoding_lacks_is_replaced_and_ends_nothing() -> None:
    code = "from study.terminal import exit_code; assert exit_code(lambda: print('5 \N{MIDDLE DOT} 7') or 0) == 0"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=True
    )
    assert done.stdout == b"5 ? 7\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((0.4, "0 seconds"), (89.0, "89 seconds"), (90.0, "2 minutes"), (3600.0, "60 minutes")),
        *((12_240.0, "3.4 hours"), (198_720.0, "2.3 days"), (1.0e8, "1,157.4 days")),
    ],
)
def test_a_length_of_time_is_told_as_people_do(seconds: float, words: str) -> None:
    assert spelled(seconds) == words
