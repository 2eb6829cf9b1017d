"""The files for clusters: each parsed against Ray's own schema, or against what its reader documents as required."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from study import __version__
from study.run import build_parser

ROOT = Path(__file__).parents[2]
FILES = ROOT / "study" / "cluster" / "files"
DOCKERFILE = (FILES / "Dockerfile").read_text()
IMAGE = f"plain-depth-study:{__version__}"
PINNED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
INSTRUCTIONS = {"FROM", "RUN", "COPY", "WORKDIR", "ENV", "USER", "CMD"}
RAY_UP = ["on_prem.yaml", "aws.yaml"]


def load(name: str) -> Any:
    return yaml.safe_load((FILES / name).read_text())


def dockerfile() -> list[tuple[str, str]]:
    """Instructions with their arguments, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_up_accepts_it(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(load(name)))


@pytest.mark.parametrize("name", RAY_UP)
def test_nodes_that_a_network_reaches_ask_for_a_token(name: str) -> None:
    config = load(name)
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        start = next(command for command in commands if "ray start" in command)
        assert "RAY_AUTH_MODE=token" in start.partition("ray start")[0]
    assert any(path.endswith("/.ray/auth_token") for path in config["file_mounts"])
    assert "--dashboard-host=127.0.0.1" in " ".join(config["head_start_ray_commands"])


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_start_knows_the_options(name: str) -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    config = load(name)
    for command in config["head_start_ray_commands"] + config["worker_start_ray_commands"]:
        assert set(re.findall(r"--[a-z-]+", command)) <= known


def test_what_is_left_behind_is_no_part_of_the_package() -> None:
    left_out = load("on_prem.yaml")["rsync_exclude"]
    anywhere = {name for name in left_out if not name.startswith("/")}  # rsync: at any depth
    for package in ("models", "search_spaces", "study"):
        assert anywhere.isdisjoint(path.name for path in (ROOT / package).rglob("*"))


def test_the_head_can_start_the_workers_of_machines_of_your_own() -> None:
    config = load("on_prem.yaml")
    assert "ssh_private_key" in config["auth"]  # it is copied to the head
    assert "RAY_enable_autoscaler_v2=0" in config["head_start_ray_commands"][-1]  # the second one starts no such worker


def test_the_rayjob_has_what_kuberay_requires() -> None:
    job = load("rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert re.fullmatch(r"[a-z0-9-]{1,47}", job["metadata"]["name"])  # the operator appends to it, within 63 characters
    spec = job["spec"]
    assert set(spec) <= {
        *("entrypoint", "runtimeEnvYAML", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished"),
        "rayClusterSpec",
    }
    assert spec["shutdownAfterJobFinishes"]  # without it a time to live is refused
    cluster = spec["rayClusterSpec"]
    assert cluster["rayVersion"] == PINNED["ray"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        assert {"name", "image", "resources"} <= set(container)
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    for group in cluster["workerGroupSpecs"]:
        assert group["groupName"]
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_the_rayjob_is_open_to_pods_that_have_the_token_alone() -> None:
    cluster = load("rayjob.yaml")["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["dashboard-host"] == "0.0.0.0"  # noqa: S104
    assert cluster["authOptions"] == {"mode": "token"}


def test_the_rayjob_stops_as_a_submitted_job_does() -> None:
    from ray.runtime_env import RuntimeEnv

    from study.cluster.submission import STOP

    spec = load("rayjob.yaml")["spec"]
    assert RuntimeEnv(**yaml.safe_load(spec["runtimeEnvYAML"]))["env_vars"] == STOP
    build_parser().parse_args(spec["entrypoint"].removeprefix("python -m study.run ").split())


def test_the_slurm_script_is_sound_bash() -> None:
    subprocess.run(["bash", "-n", FILES / "slurm.sh"], check=True)  # noqa: S607
    first, *_ = (FILES / "slurm.sh").read_text().splitlines()
    assert first == "#!/usr/bin/env bash"


def test_the_slurm_script_asks_for_what_symmetric_run_needs() -> None:
    text = (FILES / "slurm.sh").read_text()
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(\S*)$", text, re.MULTILINE))
    assert asked["ntasks-per-node"] == "1"
    assert {"nodes", "time", "exclusive"} <= set(asked)
    assert text.index("#SBATCH") < text.index("\nset ")  # Slurm reads them before the first command alone
    assert text.rindex("#SBATCH") < text.index("\nset ")


@pytest.mark.parametrize("more", [[], ["--storage", "s3://bucket/studies"]], ids=str)
def test_the_slurm_script_runs_what_it_was_given(tmp_path: Path, more: list[str]) -> None:
    commands = {
        "scontrol": "echo node1; echo node2",
        "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
        "mkdir": "true",  # not in this machine's /tmp
        "rm": "true",
        "ray": 'printf "%s\\n" "$RAY_AUTH_MODE" "${#RAY_AUTH_TOKEN}" "$@"',
        "python": f'exec {sys.executable} "$@"',
    }
    for name, body in commands.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    given = {"SUBMIT_DIR": tmp_path, "JOB_ID": 7, "JOB_NODELIST": "node[1-2]", "JOB_NUM_NODES": 2, "CPUS_ON_NODE": 16}
    environment = {f"SLURM_{name}": str(value) for name, value in given.items()}
    done = subprocess.run(
        ["bash", FILES / "slurm.sh", "depth_sweep", "--time-budget", "7h30m", *more],  # noqa: S607
        env=environment | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    mode, token_length, *words = done.stdout.splitlines()
    assert (mode, token_length) == ("token", "64")
    assert words[words.index("--address") + 1].endswith(":20007")
    assert {"--num-cpus=16", "2"} <= set(words)
    run = build_parser().parse_args(words[words.index("study.run") + 1 :])
    assert (run.sweep, run.time_budget_seconds, run.address) == ("depth_sweep", 27_000.0, "auto")
    assert run.storage == (more[1] if more else f"{tmp_path}/results")


def test_symmetric_run_and_ray_start_know_the_scripts_options() -> None:
    from ray.scripts.scripts import start
    from ray.scripts.symmetric_run import symmetric_run

    text = (FILES / "slurm.sh").read_text().replace("\\\n", " ")
    command = text.partition("ray symmetric-run")[2].partition(" -- ")[0]
    known = {option for parameter in (*start.params, *symmetric_run.params) for option in parameter.opts}
    options = set(re.findall(r"--[a-z-]+", command))
    assert {"--address", "--min-nodes"} <= options <= known
    assert options.isdisjoint({"--head", "--port", "--block", "--node-ip-address"})  # symmetric-run refuses them
    assert options.isdisjoint({"--include-dashboard", "--redis-shard-ports"})  # `ray start` does, but on a head


def test_the_dockerfile_has_known_instructions_and_sources_that_exist() -> None:
    names = [name for name, _ in dockerfile()]
    assert set(names) <= INSTRUCTIONS
    assert names[0] == "FROM"
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, rest in dockerfile():
        for source in rest.split()[:-1] if name == "COPY" else ():
            assert (ROOT / source).exists()
            assert source in sent


def test_the_dockerfile_has_the_versions_that_were_tested() -> None:
    (base,) = (rest for name, rest in dockerfile() if name == "FROM")
    tested = re.search(r"on Python ([\d.]+)\.", (ROOT / "constraints.txt").read_text())
    assert tested is not None
    assert base.startswith(f"python:{tested[1]}-")
    assert "--constraint constraints.txt . boto3\n" in DOCKERFILE  # the autoscaler of aws.yaml imports it on the head
    assert "boto3" in PINNED
    assert IMAGE in DOCKERFILE


@pytest.mark.parametrize("name", ["aws.yaml", "rayjob.yaml"])
def test_images_are_the_dockerfiles(name: str) -> None:
    images = re.findall(r"image: (\S+)", (FILES / name).read_text())
    assert images
    assert all(image.endswith(f"/{IMAGE}") for image in images)


def test_all_of_them_are_part_of_the_package() -> None:
    assert '"study.cluster" = ["files/*"]' in (ROOT / "pyproject.toml").read_text()
    assert {file.name for file in FILES.iterdir()} == {*RAY_UP, "rayjob.yaml", "slurm.sh", "Dockerfile"}
