"""Starting and reaching Ray; whole runs are in test_end_to_end.py."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import ray
from ray.exceptions import AuthenticationError

from study.tuner import session
from study.tuner.session import _check_answers, _join, _start_patiently, attribute_replaced, own_folder


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        _check_answers(f"127.0.0.1:{port}")
    with pytest.raises(ValueError, match=f"no Ray cluster answers at 127.0.0.1:{port}"):
        _check_answers(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", [None, "auto", "local"])
def test_what_only_ray_understands_is_left_to_it(address: str | None) -> None:
    _check_answers(address)


def test_a_ray_client_is_refused() -> None:
    with pytest.raises(ValueError, match="Ray Client"):
        _check_answers("ray://head:10001")


@pytest.mark.parametrize(
    "error",
    [RuntimeError("Version mismatch: the cluster was started with:\n    Python: 3.9"), AuthenticationError("no token")],
    ids=repr,
)
def test_a_cluster_that_lets_nobody_in_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def init(**_options: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ValueError, match=r"^the Ray cluster at head:6379 cannot be joined: [^\n]+$"):
        _join("head:6379")


@pytest.mark.parametrize("failures", range(3))
def test_a_ray_that_does_not_start_in_time_is_started_once_more(monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    """Ray's own error is a bare Exception of several lines."""
    calls = iter([Exception("The current node timed out\n during startup.")] * failures + [None] * 2)
    monkeypatch.setattr(ray, "init", lambda **_options: raise_if_any(next(calls)))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    if failures < 2:
        _start_patiently("")
    else:
        with pytest.raises(RuntimeError, match=r"^Ray does not start on this machine, tried twice: The [^\n]+up\.$"):
            _start_patiently("")


def raise_if_any(error: Exception | None) -> None:
    if error is not None:
        raise error


@pytest.mark.usefixtures("ray_session")
def test_a_ray_of_our_own_listens_on_this_machine_alone_and_apart_from_our_signals() -> None:
    """Every port of every process; and none of them is in the group that a terminal signals."""
    children = psutil.Process().children(recursive=True)  # other tests leave some that are not Ray's
    children = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    programs = {child: " ".join(child.cmdline()[:3]) for child in children}  # not what they are given
    processes = [child for child, program in programs.items() if "/ray/" in program or "ray::" in program]
    listening = [
        connection.laddr.ip
        for process in [psutil.Process(), *processes]
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 5
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
    assert any("raylet" in process.name() for process in processes)
    assert all(os.getpgid(process.pid) != os.getpgid(0) for process in processes)


HOLD = """
import os, sys
from pathlib import Path
from study.tuner import session
session.TEMPORARY = Path(sys.argv[1])
with session.own_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
    os._exit(9)  # as killed
"""


def test_a_live_drivers_folder_is_left_alone_and_a_dead_ones_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told by a lock: in a container of its own the other driver's pid says nothing here."""
    monkeypatch.setattr(session, "TEMPORARY", tmp_path)
    monkeypatch.setattr(os, "kill", pytest.fail)
    (tmp_path / "study-ray-other").mkdir()
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        theirs = Path(other.stdout.readline().strip())
        with own_folder() as folder:
            assert theirs.is_dir()
            assert Path(folder).is_dir()
        other.communicate()
    with own_folder():
        assert not theirs.exists()
        assert (tmp_path / "study-ray-other").exists()  # not known to be ours


def test_the_folder_of_another_users_driver_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TEMPORARY", tmp_path)
    (tmp_path / "study-ray-abc").mkdir()
    (tmp_path / "study-ray-abc" / "held").touch()
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with own_folder():
        assert (tmp_path / "study-ray-abc").exists()


def test_an_attribute_that_a_later_ray_lacks_is_no_error() -> None:
    class Owner:
        known = 1

    with attribute_replaced(Owner, "known", 2), attribute_replaced(Owner, "unknown", 2):
        assert Owner.known == 2
    assert Owner.known == 1
    assert not hasattr(Owner, "unknown")
