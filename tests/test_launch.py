"""Starting and reaching Ray; whole runs are in test_end_to_end.py."""

import socket

import pytest

from study.launch import _check_answers


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        _check_answers(f"127.0.0.1:{port}")
    with pytest.raises(ValueError, match=f"no Ray cluster answers at 127.0.0.1:{port}"):
        _check_answers(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", [None, "auto", "local", "ray://head:10001"])
def test_what_only_ray_understands_is_left_to_it(address: str | None) -> None:
    _check_answers(address)
