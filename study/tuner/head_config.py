"""How the head's autoscaler is configured. Runs on the head, whither it travels by value: the project may lack there.

Ray keeps this nowhere that a driver could read. Its cluster configuration (`ray._private.state.get_cluster_config`) is
filled by neither of the open Ray's two autoscalers, and what they report (`get_cluster_status`) tells of nodes, not of
types that have none yet.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

FIELDS = ("max_workers", "head_node_type")  # with the node types all that is read: a configuration may hold secrets
TYPE_FIELDS = ("resources", "max_workers")
OPTION = "--autoscaling-config="
KUBERAY_START = "KUBERAY_GEN_RAY_START_CMD"  # with --no-monitor where KubeRay's own container is the autoscaler
NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def head_config(gcs_port: str) -> dict[str, Any] | None:
    """The parts of it that tell what may be added; None where no autoscaler adds nodes."""
    path = _config_path(f":{gcs_port}")
    if path is not None:
        import yaml  # type: ignore[import-untyped]

        config = yaml.safe_load(path.read_text())
    elif "--no-monitor" in os.environ.get(KUBERAY_START, ""):
        config = _kuberay_config()
    else:
        return None
    types = {
        name: {field: type_[field] for field in TYPE_FIELDS if field in type_}
        for name, type_ in config["available_node_types"].items()
    }
    return {field: config[field] for field in FIELDS if field in config} | {"available_node_types": types}


def _config_path(gcs: str) -> Path | None:
    """The file that the autoscaler of this Ray was started with: `ray start --autoscaling-config`, as `ray up` does."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # processes come and go
            words = path.read_bytes().decode(errors="replace").split("\0")
            given = [word.removeprefix(OPTION) for word in words if word.startswith(OPTION)]
            if given and any(word.startswith("--gcs-address=") and word.endswith(gcs) for word in words):
                return Path(given[0]).expanduser()
    return None


def _kuberay_config() -> dict[str, Any]:
    """Read what KubeRay's autoscaler reads: from Kubernetes, with the rights of this pod, of which it is a part."""
    from ray.autoscaler._private.kuberay.autoscaling_config import AutoscalingConfigProducer

    produce: Any = AutoscalingConfigProducer
    return dict(produce(os.environ["RAY_CLUSTER_NAME"], NAMESPACE.read_text().strip())())
