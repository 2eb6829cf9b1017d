"""What the doctor knows of machines and their cluster: plain values, gathered in `study.cluster.doctor`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from study.datasets import find_dataset
from study.terminal import declared, flag_of, option
from study.tuner.autoscaler import Autoscaler


@dataclass(frozen=True)
class Question:
    """What the run would use; None: not asked."""

    storage: str | None = option(None, metavar="URI", help="folder or URI that is to hold runs: can it be written?")
    dataset: str | None = option(None, metavar="NAME", help="a data set that a run will want")
    data_dir: Path | None = option(
        None, type=Path, metavar="DIR", help="where data sets lie (STUDY_DATA_DIR, or data/)"
    )

    def __post_init__(self) -> None:
        if self.dataset is not None:
            find_dataset(self.dataset)

    @property
    def options(self) -> list[str]:
        """The question as words of a command line."""
        given = [(flag_of(one), getattr(self, one.name)) for one in declared(Question)]
        return [word for flag, value in given if value is not None for word in (flag, str(value))]


@dataclass(frozen=True)
class Machine:
    """Facts on one machine, gathered by `study.cluster.probe`.

    Attributes:
        name: what findings call it.
        packages: installed versions; None where one is missing.
        code: a digest of our code as it is imported there; None where it cannot be.
        cpus, gpus: what a run may use there: Ray's count, on a machine without Ray the machine's own.
        object_store_bytes: of Ray; None without Ray.
        shm_bytes: size of /dev/shm; None where there is none.
        devices: NVIDIA GPUs that the kernel knows.
        rays: Ray clusters that are led from there.
        torch_gpus: those that torch can use; torch_error: why not.
        storage_seen: the driver's mark is there and another can be put beside it; storage_error: why not.
        dataset_problem: how the data set would come there; None where it is there or none is asked for.
        clock_seconds: its clock minus the driver's.
    """

    name: str
    python: str
    packages: dict[str, str | None]
    code: str | None
    cpus: float
    gpus: float
    memory_bytes: int
    object_store_bytes: int | None = None
    shm_bytes: int | None = None
    devices: int = 0
    rays: int = 0
    torch_gpus: int = 0
    torch_error: str | None = None
    auth_mode: str = "disabled"
    storage_seen: bool = False
    storage_error: str | None = None
    dataset_problem: str | None = None
    clock_seconds: float = 0.0


@dataclass(frozen=True)
class Facts:
    """What is known before a run.

    Attributes:
        driver: the machine that would lead the run.
        nodes: the cluster's, of which the driver's may be one; without a cluster empty.
        silent: nodes that did not answer.
        autoscaler: what it may add; None where nothing is to be had. autoscaler_error: why that could not be read.
        storage: where runs are to lie; None: not asked. storage_error: why the driver cannot write there.
        dataset: the set that is asked for; dataset_bytes: its size in memory, None where the driver cannot read it.
        streamed: every node reads the set's images by itself.
        chosen_auth: RAY_AUTH_MODE as the user set it; None where it is unset.
        has_token: whether Ray finds a token on the driver's machine.
    """

    driver: Machine
    nodes: Sequence[Machine] = ()
    silent: Sequence[str] = ()
    autoscaler: Autoscaler | None = None
    autoscaler_error: str | None = None
    storage: str | None = None
    storage_error: str | None = None
    dataset: str | None = None
    dataset_error: str | None = None
    dataset_bytes: int | None = None
    streamed: bool = False
    chosen_auth: str | None = None
    has_token: bool = False
    sets_here: Sequence[str] = field(default_factory=tuple)

    @property
    def machines(self) -> Sequence[Machine]:
        """The machines on which trials would run."""
        return self.nodes or (self.driver,)
