"""A check shared by tests of command lines: bad input is answered by one line and exit code 2."""

from collections.abc import Callable, Sequence

import pytest


def check_refused(
    main: Callable[[Sequence[str]], int], arguments: Sequence[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The command line says `message`, in a single line on stderr, and leaves with 2, by itself or through argparse."""
    try:
        code = main(arguments)
    except SystemExit as leaving:
        code = leaving.code
    error = capfd.readouterr().err
    assert code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
