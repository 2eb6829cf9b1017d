"""Jobs on a real job server on loopback: sent, followed, stopped in the middle, sent again; and the doctor there."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest
from head_node import answers, free_ports
from sweep_files import MY_SWEEP

from study.records import read_table
from study.store.provenance import commit

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 180.0
TINY = ["--set", "depth=8", "--set", "recipe=he_l2", "--set", "epochs=1", "--trials", "1"]
TRIALS = 1 + 3
LONGER = ["--run", "stopped", "--set", "depth=20,26", "--set", "recipe=he_l2", "--set", "epochs=4", "--trials", "2"]
TOKEN = "a-token-of-the-tests-own-0123456789"  # noqa: S105
LONGER_TRIALS = 2 * (2 + 3)

pytestmark = pytest.mark.slow


@dataclass
class Head:
    """A Ray head of the test's own: its ports, folder and environment are no other's."""

    environment: dict[str, str]
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, *words: str, cwd: Path = ROOT, **changes: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment | {"PYTHONPATH": str(ROOT), "RAY_API_SERVER_ADDRESS": self.address} | changes
        return subprocess.run(
            words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )

    def cluster(self, *words: str, cwd: Path = ROOT, **changes: str) -> subprocess.CompletedProcess[str]:
        return self.call(sys.executable, "-m", "study.cluster", *words, cwd=cwd, **changes)


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """A head that is up and asks for a token; at the end its processes, and no other, are ended."""
    gcs, dashboard, agent, agent_grpc, client = free_ports(5)
    unwanted = {"PYTHONPATH", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"}
    environment = {name: value for name, value in os.environ.items() if name not in unwanted} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    # Not pytest's folder: the names of sockets may have some hundred characters at most.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        command = [
            *("ray", "start", "--head", "--block", "--num-cpus=2", "--object-store-memory=200000000"),
            *(f"--port={gcs}", "--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--temp-dir={folder}"),
            *(f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"),
            *(f"--dashboard-agent-grpc-port={agent_grpc}", f"--ray-client-server-port={client}"),
        ]
        with Path(folder, "start.log").open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(lambda: answers(dashboard) or process.poll() is not None, "a head")
            assert process.poll() is None, Path(folder, "start.log").read_text()
            yield Head(environment, dashboard)
        finally:
            family = psutil.Process(process.pid).children(recursive=True)  # workers have groups of their own
            os.killpg(process.pid, signal.SIGKILL)
            for left in family:
                with suppress(psutil.NoSuchProcess):
                    left.kill()
            process.wait(timeout=20)


def wait_until(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)


def rows(run: Path) -> int:
    return len(read_table(run, "trials")) if (run / "run.json").exists() else 0


def job_id(said: str) -> str:
    found = re.search(r"raysubmit_\w+", said)
    assert found is not None, said
    return found[0]


def test_a_submitted_sweep_leaves_tables_that_pandas_reads(head: Head, tmp_path: Path) -> None:
    done = head.cluster("submit", head.address, "depth_sweep", *TINY, "--storage", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "Report: " in done.stdout
    trials = pd.read_parquet(tmp_path / "depth_sweep-quick" / "trials")
    assert len(trials) == TRIALS
    assert set(trials.status) == {"ok"}
    assert set(trials.commit) == {commit()}
    status, log = head.cluster("status").stdout, head.cluster("logs", job_id(done.stdout)).stdout
    assert f"{job_id(done.stdout)}  SUCCEEDED  depth_sweep-quick  begun" in status
    assert "Report: " in log
    assert TOKEN not in done.stdout + status + log
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_a_users_own_sweep_from_elsewhere_runs_with_the_module_beside_it(head: Head, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MY_SWEEP.replace("search_spaces.recipes", "my_recipes"))
    (tmp_path / "my_recipes.py").write_text("from search_spaces.recipes import he_l2")
    sent = head.cluster("submit", "--detach", head.address, "mine.py", "--storage", str(tmp_path), cwd=tmp_path)
    assert sent.returncode == 0, sent.stderr
    followed = head.cluster("logs", job_id(sent.stdout), "--follow")
    assert followed.returncode == 0, followed.stdout
    assert len(read_table(tmp_path / "mine-quick", "trials")) == 2


def test_a_job_that_is_stopped_loses_nothing_and_the_same_command_goes_on(head: Head, tmp_path: Path) -> None:
    words = ["submit", head.address, "depth_sweep", *LONGER, "--storage", str(tmp_path)]
    run = tmp_path / "stopped"
    environment = head.environment | {"PYTHONPATH": str(ROOT)}
    follower = subprocess.Popen(
        [sys.executable, "-m", "study.cluster", *words],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: rows(run) >= 2 or follower.poll() is not None, "two trials")
    follower.send_signal(signal.SIGINT)
    said, _ = follower.communicate(timeout=PATIENCE_SECONDS)
    assert follower.returncode == 0  # there is no terminal to ask at: it detaches
    assert "The job goes on." in said
    assert head.cluster("stop", job_id(said)).returncode == 0
    assert "STOPPED" in head.cluster("status", job_id(said)).stdout
    log = head.cluster("logs", job_id(said)).stdout
    assert "the same command goes on" in log
    assert "Traceback" not in log
    before = read_table(run, "trials")
    assert 2 <= len(before) < LONGER_TRIALS
    again = head.cluster(*words)
    assert again.returncode == 0, again.stdout
    after = read_table(run, "trials")
    assert len(after) == LONGER_TRIALS
    assert after.trial_id.is_unique
    pd.testing.assert_frame_equal(after.head(len(before)), before)


def test_rays_own_command_does_it_too(head: Head, tmp_path: Path) -> None:
    run = ["python", "-m", "study.run", "depth_sweep", *TINY, "--storage", str(tmp_path)]
    done = head.call("ray", "job", "submit", "--address", head.address, "--working-dir", ".", "--", *run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(read_table(tmp_path / "depth_sweep-quick", "trials")) == TRIALS


def test_a_run_that_the_head_refuses_says_why_and_leaves_with_its_code(head: Head, tmp_path: Path) -> None:
    done = head.cluster(
        "submit",
        head.address,
        "depth_sweep",
        "--dataset",
        "cifar10",
        "--data-dir",
        str(tmp_path),
        "--storage",
        str(tmp_path),
    )
    assert done.returncode == 2
    assert "python -m study.datasets fetch cifar10" in done.stdout


def test_an_unknown_job_is_one_line(head: Head) -> None:
    done = head.cluster("logs", "raysubmit_none")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: no job raysubmit_none at {head.address}: `python -m study.cluster status` lists them\n"
    )


@pytest.mark.parametrize(
    "changes", [{"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": TOKEN[::-1]}], ids=["none", "wrong"]
)
def test_who_lacks_the_token_is_told_so(head: Head, changes: dict[str, str]) -> None:
    done = head.cluster("status", **changes)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: no entrance at {head.address}: the cluster requires a token")
    assert done.stderr.count("\n") == 1


def test_the_doctor_asks_every_node_from_the_head(head: Head, tmp_path: Path) -> None:
    done = head.cluster("doctor", "--address", head.address, "--storage", str(tmp_path), "--dataset", "digits")
    assert done.returncode == 0, done.stdout
    assert re.search(r"ok +nodes +1 in the cluster: 2 CPUs", done.stdout)
    assert re.search(r"ok +versions .* equal everywhere", done.stdout)
    assert re.search(rf"ok +storage +{tmp_path} can be written by the driver, and 1 of 1 nodes", done.stdout)
    assert re.search(r"ok +data +digits: the driver has it", done.stdout)
    assert re.search(r"ok +auth +RAY_AUTH_MODE=token everywhere", done.stdout)
    assert not list(tmp_path.iterdir())
