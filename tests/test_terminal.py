"""How commands end."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from study.terminal import BAD_INPUT, INTERRUPTED, PIPE_CLOSED, exit_code


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


def test_what_an_encoding_lacks_is_replaced_and_ends_nothing() -> None:
    code = "from study.terminal import exit_code; assert exit_code(lambda: print('5 \N{MIDDLE DOT} 7') or 0) == 0"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=True
    )
    assert done.stdout == b"5 ? 7\n"
