"""From facts on machines to findings on what would break a run. Pure functions: nothing is asked or started here."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from study.cluster.facts import Facts, Machine

OK, NOTE, ERROR = "ok", "note", "error"

REFUSED_BY_RAY = ("python", "ray")  # which it wants equal on all nodes
GIB = 2**30
MIN_MEMORY = 1 * GIB  # a CPU: a trial's process holds torch, 0.5 GiB, and a net
SHM_SHARE = 0.3  # of the memory: what Ray gives its object store, in /dev/shm where that is large enough
LARGEST_CLOCK_SECONDS = 2.0  # beyond it, times in the tables are not comparable
REFUSED_CLOCK_SECONDS = 900.0  # beyond it, S3 and its kin refuse requests


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:5}  {self.subject:8}  {self.text}"


def check_nodes(facts: Facts) -> Iterator[Finding]:
    """Every node answers, and some can hold a trial, or would once they are added."""
    for name in facts.silent:
        yield Finding(ERROR, "nodes", f"{name} does not answer: see its logs, or take it out of the cluster")
    cpus, gpus = sum(machine.cpus for machine in facts.machines), sum(machine.gpus for machine in facts.machines)
    where = f"{len(facts.nodes)} in the cluster" if facts.nodes else "this machine alone"
    if cpus < 1 and facts.autoscaler is None:
        yield Finding(ERROR, "nodes", f"{where}, no CPU: a trial asks for one, start a node with --num-cpus")
    else:
        yield Finding(OK, "nodes", f"{where}: {cpus:g} CPUs, {gpus:g} GPUs")
    for machine in facts.nodes:
        if machine.rays > 1:
            way = "end the others, or start each with a --temp-dir of its own"
            text = f"{machine.name} leads {machine.rays} Ray clusters: `auto`, and so a job, may join another: {way}"
            yield Finding(NOTE, "nodes", text)


def check_autoscaler(facts: Facts) -> Iterator[Finding]:
    """Whether a cluster grows by itself."""
    if facts.autoscaler is not None:
        text = f"may add {facts.autoscaler}: a run asks it for what its trials can use, see --workers"
        yield Finding(NOTE, "growth", f"the autoscaler {text}")
    elif facts.autoscaler_error is not None:
        yield Finding(NOTE, "growth", facts.autoscaler_error)
    elif facts.nodes:
        yield Finding(OK, "growth", "no autoscaler adds nodes: a run uses those that are there, and those that join")


def check_versions(facts: Facts) -> Iterator[Finding]:
    """Python, packages and our code are the driver's everywhere."""
    driver = facts.driver
    found = [finding for machine in (driver, *facts.nodes) for finding in _version_findings(driver, machine)]
    yield from found
    if not found:
        versions = ", ".join(f"{name} {driver.packages[name]}" for name in ("ray", "torch"))
        yield Finding(OK, "versions", f"python {driver.python}, {versions}" + ", equal everywhere" * bool(facts.nodes))


def _version_findings(driver: Machine, machine: Machine) -> Iterator[Finding]:
    """What differs on one machine."""
    if machine.code is None:
        way = "install it there, or use `python -m study.cluster submit`, which sends it"
        yield Finding(ERROR, "versions", f"{machine.name} cannot import this project: {way}")
    elif machine.code != driver.code:
        way = "bring it up to date, or use `python -m study.cluster submit`, which sends the code"
        yield Finding(ERROR, "versions", f"{machine.name} has other code of this project than the driver: {way}")
    for name, wanted in {"python": driver.python, **driver.packages}.items():
        found = machine.python if name == "python" else machine.packages.get(name)
        if found is None:
            yield Finding(ERROR, "versions", f"{machine.name} has no {name}: pip install -c constraints.txt .")
        elif found != wanted:
            level = ERROR if name in REFUSED_BY_RAY else NOTE
            effect = "Ray refuses that" if level == ERROR else "its trials are not quite comparable"
            text = f"{machine.name} has {name} {found}, the driver {wanted}: {effect}, install equal ones"
            yield Finding(level, "versions", text)


def check_gpus(facts: Facts) -> Iterator[Finding]:
    """What Ray gives out is what torch can use. No GPU is no fault."""
    for machine in facts.machines:
        if machine.gpus > machine.torch_gpus:
            why = machine.torch_error or f"torch sees {machine.torch_gpus}: driver or torch build do not fit"
            yield Finding(ERROR, "gpus", f"{machine.name} offers {machine.gpus:g} GPUs, but {why}")
        elif machine.devices and machine.gpus < machine.devices:
            text = f"{machine.name} has {machine.devices} GPUs and offers {machine.gpus:g}: see ray start --num-gpus"
            yield Finding(NOTE, "gpus", text)
    usable = sum(machine.gpus for machine in facts.machines if machine.gpus <= machine.torch_gpus)
    if usable:
        yield Finding(OK, "gpus", f"{usable:g}, and torch computes on them")
    elif facts.autoscaler and any(node.get("GPU") for node in facts.autoscaler.nodes):
        text = "none yet: trials wait for a node with one, which the autoscaler may add (--gpus-per-trial 0: use CPUs)"
        yield Finding(NOTE, "gpus", text)
    elif not any(machine.gpus or machine.devices for machine in facts.machines):
        yield Finding(NOTE, "gpus", "none: trials run on CPUs, right for --scale quick, slow beyond")


def check_memory(facts: Facts) -> Iterator[Finding]:
    """Room for as many trials as there are CPUs; Ray kills trials where memory runs short."""
    short = [machine for machine in facts.machines if machine.memory_bytes < MIN_MEMORY * max(machine.cpus, 1)]
    for machine in short:
        fit = max(1, machine.memory_bytes // MIN_MEMORY)
        text = f"{machine.name} has {machine.memory_bytes / GIB:.1f} GiB for {machine.cpus:g} CPUs"
        yield Finding(NOTE, "memory", f"{text}: --workers {fit}, or --cpus-per-trial 2, lest trials are killed")
    if not short:
        least = min(machine.memory_bytes / max(machine.cpus, 1) for machine in facts.machines)
        yield Finding(OK, "memory", f"{least / GIB:.1f} GiB a CPU at least")


def check_shared_memory(facts: Facts) -> Iterator[Finding]:
    """The data set is mapped out of /dev/shm; where that is too small Ray falls back to a disk, slowly."""
    found = False
    for machine in facts.machines:
        store = machine.object_store_bytes or int(machine.memory_bytes * SHM_SHARE)
        if machine.shm_bytes is not None and machine.shm_bytes < store:
            found = True
            size = f"{machine.name} has {machine.shm_bytes / GIB:.2f} GiB of shared memory, Ray wants {store / GIB:.2f}"
            yield Finding(NOTE, "shm", f"{size}: it takes a slow disk instead. In Docker: --shm-size")
        if facts.dataset_bytes is not None and facts.dataset_bytes > store:
            found = True
            size = f"{facts.dataset} has {facts.dataset_bytes / GIB:.2f} GiB, the object store of {machine.name}"
            text = f"{size} {store / GIB:.2f}: it is read from a disk, see ray start --object-store-memory"
            yield Finding(NOTE, "shm", text)
    if not found:
        yield Finding(OK, "shm", "large enough for Ray's object store")


def check_storage(facts: Facts) -> Iterator[Finding]:
    """The driver must be able to write. Nodes need not: what they leave travels through Ray to the driver's machine."""
    if facts.storage is None:
        yield Finding(NOTE, "storage", "not looked at: name the place with --storage")
        return
    if facts.storage_error is not None:
        yield Finding(ERROR, "storage", f"{facts.storage_error}: choose another --storage, or mend rights and keys")
        return
    for machine in facts.nodes:
        if not machine.storage_seen:
            why = f" ({machine.storage_error})" if machine.storage_error else ""
            text = f"{machine.name} does not share {facts.storage}{why}: no matter, the driver's machine writes for all"
            yield Finding(NOTE, "storage", text)
    sharing = sum(machine.storage_seen for machine in facts.nodes)
    nodes = f", and {sharing} of {len(facts.nodes)} nodes" if facts.nodes else ""
    yield Finding(OK, "storage", f"{facts.storage} can be written by {facts.driver.name}{nodes}")


def is_uri(storage: str) -> bool:
    """Whether a storage means the same place everywhere."""
    return "://" in storage and not storage.startswith("file:")


def check_dataset(facts: Facts) -> Iterator[Finding]:
    """The driver has the set and ships it; a streamed one must lie on every node."""
    if facts.dataset is None:
        yield Finding(OK, "data", f"here: {', '.join(facts.sets_here)}; ask for one with --dataset")
        return
    if facts.dataset_error is not None:
        yield Finding(ERROR, "data", facts.dataset_error)
        return
    lacking = [machine for machine in facts.nodes if machine.dataset_problem is not None] if facts.streamed else []
    for machine in lacking:
        text = f"on {machine.name}, where images are read as they are wanted: {machine.dataset_problem}"
        yield Finding(ERROR, "data", text)
    if not lacking:
        how = "on every node" if facts.streamed else "the driver has it, and ships it to the nodes"
        size = f", {(facts.dataset_bytes or 0) / 2**20:.0f} MiB" if not facts.streamed else ""
        yield Finding(OK, "data", f"{facts.dataset}: {how if facts.nodes else 'here'}{size}")


def check_auth(facts: Facts) -> Iterator[Finding]:
    """One mode everywhere, and one that the user chose where Ray's and ours would differ."""
    mode = facts.driver.auth_mode
    others = {node.name: node.auth_mode for node in facts.nodes if node.auth_mode not in (mode, "unset")}
    for name, other in others.items():
        text = f"{name} runs with RAY_AUTH_MODE={other}, the driver with {mode}: export the same before `ray start`"
        yield Finding(ERROR, "auth", text)
    if mode == "token" and not facts.has_token:
        text = (
            "RAY_AUTH_MODE=token and no token here: a run on this machine alone makes one, a cluster's nodes share one"
        )
        yield Finding(NOTE, "auth", f"{text}: `ray get-auth-token --generate`")
    elif facts.chosen_auth is None and facts.has_token:
        text = "RAY_AUTH_MODE is unset and a token lies here: `ray start` would demand it, this project not. Export one"
        yield Finding(NOTE, "auth", f"{text}: RAY_AUTH_MODE=token or disabled")
    elif not others and mode == "disabled":
        text = "RAY_AUTH_MODE=disabled: who reaches Ray's ports runs code as you. Fine on loopback, else use token"
        yield Finding(NOTE if len(facts.nodes) > 1 else OK, "auth", text)
    elif not others:
        yield Finding(OK, "auth", f"RAY_AUTH_MODE={mode} everywhere")


def check_clocks(facts: Facts) -> Iterator[Finding]:
    """Times in the tables come from the nodes."""
    off = [machine for machine in facts.nodes if abs(machine.clock_seconds) > LARGEST_CLOCK_SECONDS]
    for machine in off:
        refused = facts.storage is not None and is_uri(facts.storage)
        fatal = refused and abs(machine.clock_seconds) > REFUSED_CLOCK_SECONDS
        text = f"{machine.name} is {machine.clock_seconds:+.1f} s off the driver: set clocks by NTP (chrony)"
        yield Finding(ERROR if fatal else NOTE, "clocks", text)
    if facts.nodes and not off:
        worst = max(abs(machine.clock_seconds) for machine in facts.nodes)
        yield Finding(OK, "clocks", f"within {worst:.2f} s")


CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    check_nodes,
    check_autoscaler,
    check_versions,
    check_gpus,
    check_memory,
    check_shared_memory,
    check_storage,
    check_dataset,
    check_auth,
    check_clocks,
)


def findings(facts: Facts) -> list[Finding]:
    """All of them, subject by subject."""
    return [finding for check in CHECKS for finding in check(facts)]


def breaks_a_run(found: Sequence[Finding]) -> bool:
    """Whether any finding is an error."""
    return any(finding.level == ERROR for finding in found)
