"""Fixtures that several tests share: a sweep small enough for a test, and one Ray session for all that need Ray."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import S3Server
from store_servers import FOLDER, MEMORY, AzureServer, GoogleServer, Server

from search_spaces.recipes import he_l2, isometric
from search_spaces.sweep import Fields, Float, Scale, Space, Sweep
from study.planning.plan import Overrides, Plan, make_plan
from study.store.storage import Storage
from study.sweeps import NamedSweep

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as a trial has: tests run beside each other
os.environ.pop("COLUMNS", None)  # which pytest-xdist gives its workers, and by which printed tables take their width


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests are shared out to several processes, all that need the Ray session run in one of them."""
    for item in items:
        if "ray_session" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("ray"))


def tiny_search(fields: Fields) -> Space:
    space = {"learning_rate": Float(1e-3, 0.3, log=True)}
    if fields["modulation"] != "off":
        space["modulation_band"] = Float(1.0, 1.2)
    return space


@pytest.fixture
def tiny_sweep() -> NamedSweep:
    """Two cells, three steps a trial."""
    sweep = Sweep(
        compare={"depth": (8,), "recipe": {"he_l2": he_l2, "isometric": isometric}},
        search=tiny_search,
        fixed={"batch_size": 256},
        scales={"quick": Scale(fixed={"dataset": "digits", "steps": 3})},
        trials_per_cell=2,
        confirm_seeds=2,
    )
    return NamedSweep("tiny", "Does it run at all?", sweep)


@pytest.fixture
def tiny_plan(tiny_sweep: NamedSweep) -> Plan:
    return make_plan(tiny_sweep, overrides=Overrides(seed=7))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Probes of the tests are kept apart from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def not_under_nohup() -> Iterator[None]:
    """A closed session ends what the tests start, also where pytest itself was begun by nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session")
def ray_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One local Ray cluster for all tests that need one."""
    from study.tuner.session import ray_session

    with ray_session(address=None):
        yield


def serving(server: Server) -> Iterator[Server]:
    """A server with an empty bucket; the environment leads to it, as a user's would."""
    with pytest.MonkeyPatch.context() as patch:
        try:
            server.wait()
            for name, value in server.environment.items():
                patch.setenv(name, value)
            server.make_bucket()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """An S3-compatible one."""
    yield from serving(S3Server())


@pytest.fixture(scope="session")
def google() -> Iterator[Server]:
    """One as Google's."""
    yield from serving(GoogleServer())


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One as Azure's, where Azurite is installed."""
    if AzureServer.COMMAND is None:
        pytest.skip("no azurite-blob: npm install --global azurite")
    yield from serving(AzureServer(tmp_path_factory.mktemp("azure")))


@pytest.fixture
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A URI of the test's own, as short as a user's whose environment names endpoint and credentials.

    In S3, or in what the test is parametrized with.
    """
    kind, name = getattr(request, "param", "server"), request.node.name.partition("[")[0]
    return f"{kind}://{tmp_path}/{name}" if kind in (MEMORY, FOLDER) else f"{request.getfixturevalue(kind).uri}/{name}"


@pytest.fixture
def stored(runs: str) -> Storage:
    """A run's folder there."""
    return Storage.at(runs).sub("run")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt: Ray Tune leaves a handler of its own behind."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that `results/` is the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
