"""What an autoscaler may add and is asked for, without one running: that is in test_autoscaling.py."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.kuberay import autoscaling_config
from ray.autoscaler._private.util import prepare_config
from ray.exceptions import RayError

from study.planning.plan import Plan
from study.search.cells import CellStudies
from study.tuner import demand
from study.tuner.autoscaler import Autoscaler, NodeType, autoscaler_of
from study.tuner.demand import LOOK_SECONDS, REPEAT_SECONDS, Demand
from study.tuner.head_config import head_config
from study.tuner.slots import ResourceRequest

FILES = Path(__file__).parents[2] / "study" / "cluster" / "files"
TRIAL = {"status": "ok", "val_accuracy": 0.5}
CPU, GPU = NodeType("cpu", {"CPU": 4}, 3), NodeType("gpu", {"CPU": 8, "GPU": 1}, 2)
ONE = ResourceRequest(0.0, 1.0)


def anything(_node: object) -> bool:
    return True


def test_a_cluster_grows_within_the_bounds_of_its_types_and_of_all() -> None:
    assert Autoscaler([GPU, CPU], most=9).grown(9, anything) == [CPU.resources] * 3 + [GPU.resources] * 2
    assert Autoscaler([GPU, CPU], most=4).grown(9, anything) == [CPU.resources] * 3 + [GPU.resources]
    assert Autoscaler([GPU, CPU], most=9).grown(1, anything) == [CPU.resources]
    assert Autoscaler([GPU, CPU], most=1).grown(9, lambda node: "GPU" in node) == [GPU.resources]


def test_what_may_be_added_is_told_in_words() -> None:
    assert str(Autoscaler([GPU, CPU], most=5)) == "2 x gpu (8 CPUs, 1 GPU), 3 x cpu (4 CPUs)"
    assert str(Autoscaler([GPU, CPU], most=4)) == "2 x gpu (8 CPUs, 1 GPU), 3 x cpu (4 CPUs), 4 in all"


def test_the_configuration_of_ray_up_is_understood() -> None:
    config = {
        "max_workers": 5,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 4}},
            "told": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 2},
            "untold": {"resources": {"CPU": 1}},
            "none": {"resources": {"CPU": 64}, "max_workers": 0},
            "unknown": {"resources": {}, "max_workers": 3},
        },
    }
    told, untold = NodeType("told", {"CPU": 8, "GPU": 1}, 2), NodeType("untold", {"CPU": 1}, 5)
    assert autoscaler_of(config) == Autoscaler([told, untold], 5)
    assert autoscaler_of(None) is None


def test_machines_of_ones_own_are_all_started_anyway() -> None:
    assert autoscaler_of(prepare_config(yaml.safe_load((FILES / "on_prem.yaml").read_text()))) is None


def kuberay_config(_name: str, _namespace: str) -> Callable[[], Any]:
    """As the operator's own reads it, from our manifest."""
    spec = yaml.safe_load((FILES / "rayjob.yaml").read_text())["spec"]["rayClusterSpec"]
    resource = {"metadata": {"name": "raycluster", "namespace": "default"}, "spec": spec}
    return lambda: autoscaling_config._derive_autoscaling_config_from_ray_cr(resource)


def test_kuberays_groups_are_understood_and_nothing_else_of_them_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "namespace").write_text("default\n")
    monkeypatch.setattr(demand.head_config, "NAMESPACE", tmp_path / "namespace")
    monkeypatch.setattr(autoscaling_config, "AutoscalingConfigProducer", kuberay_config)
    monkeypatch.setenv("RAY_CLUSTER_NAME", "raycluster")
    assert head_config("1") is None
    monkeypatch.setenv("KUBERAY_GEN_RAY_START_CMD", "ray start --head --no-monitor  --num-cpus=0")
    config = head_config("1")
    assert config is not None
    assert set(config) == {"available_node_types", "max_workers", "head_node_type"}
    found = autoscaler_of(config)
    assert found is not None
    assert [(type_.name, type_.resources["CPU"], type_.resources["GPU"]) for type_ in found.types] == [("gpu", 8, 1)]


def test_the_file_of_the_heads_own_autoscaler_is_found(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{available_node_types: {cpu: {resources: {CPU: 2}}}, auth: {key: secret}}")
    words = ["monitor.py", f"--autoscaling-config={tmp_path}/config.yaml", "--gcs-address=192.0.2.1:26379"]
    program = [sys.executable, "-c", "print('runs', flush=True); input()", *words]
    monitor = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert monitor.stdout.readline() == b"runs\n"  # before it does, its words may not be seen yet
        assert head_config("26379") == {"available_node_types": {"cpu": {"resources": {"CPU": 2}}}}
        assert head_config("379") is None
    finally:
        monitor.communicate(b"\n")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many trials the autoscaler was told of, each time."""
    said: list[int] = []
    monkeypatch.setattr(demand, "request_resources", lambda bundles: said.append(len(bundles)))
    return said


@pytest.fixture
def let_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[Demand, float], None]:
    now = [time.monotonic()]
    monkeypatch.setattr(demand.time, "monotonic", lambda: now[0])

    def step(asking: Demand, seconds: float) -> None:
        now[0] += seconds
        asking.on_step_end(0, [])

    return step


def slots(most: int = 100) -> Any:
    """Room for so many trials once all nodes are there."""

    def within_reach(asks: Sequence[ResourceRequest]) -> Sequence[ResourceRequest]:
        return asks[:most]

    return SimpleNamespace(ask=lambda _config: ONE, within_reach=within_reach)


def test_nodes_are_asked_for_as_long_as_there_is_work(
    tiny_plan: Plan, told: list[int], let_pass: Callable[[Demand, float], None]
) -> None:
    studies = CellStudies(tiny_plan)
    with Demand(studies, slots(), lambda: False) as asking:
        assert told == [8]  # two cells of two search trials and two confirmations
        let_pass(asking, LOOK_SECONDS + 1)
        assert told == [8]
        let_pass(asking, REPEAT_SECONDS)
        assert told == [8, 8]
        for left in range(7, 0, -1):
            planned = studies.next_trial()
            studies.tell(planned.trial_id, TRIAL)
            let_pass(asking, LOOK_SECONDS + 1)
            assert told[-1] == left
        assert studies.next_trial() is not None
        let_pass(asking, LOOK_SECONDS + 1)
        assert told[-1] == 1  # it runs
    assert told[-1] == 0


def test_no_more_than_there_could_be_and_what_runs_alone_once_nothing_may_begin(
    tiny_plan: Plan, told: list[int], let_pass: Callable[[Demand, float], None]
) -> None:
    studies, due = CellStudies(tiny_plan), [False]
    studies.next_trial()
    asking = Demand(studies, slots(most=3), lambda: due[0])
    with asking:
        due[0] = True
        let_pass(asking, LOOK_SECONDS + 1)
    assert told == [3, 1, 0]


def interrupted(asking: Demand) -> None:
    with asking:
        raise KeyboardInterrupt


def test_an_interrupted_run_leaves_no_request_behind(tiny_plan: Plan, told: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(Demand(CellStudies(tiny_plan), slots(), lambda: False))
    assert told == [8, 0]


def test_without_an_autoscaler_nothing_is_ever_said(tiny_plan: Plan, told: list[int]) -> None:
    with Demand(CellStudies(tiny_plan), slots(most=0), lambda: False):
        pass
    assert told == []


def test_a_head_that_does_not_answer_is_told_again(
    tiny_plan: Plan, monkeypatch: pytest.MonkeyPatch, let_pass: Callable[[Demand, float], None]
) -> None:
    tries: list[int] = []

    def fail(bundles: list[object]) -> None:
        tries.append(len(bundles))
        raise RayError("GCS is away")

    monkeypatch.setattr(demand, "request_resources", fail)
    with Demand(CellStudies(tiny_plan), slots(), lambda: False) as asking:
        let_pass(asking, REPEAT_SECONDS + 1)
    assert tries == [8, 8, 0]
