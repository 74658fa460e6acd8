"""Where a run's roles are to run: the flags of `moma train` that say so, and what fits together."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Literal

from moma.engines.topology import Placement
from moma_core.runtime import process

EngineName = Literal["local", "ray", "slurm", "kubernetes"]


@dataclass(frozen=True, kw_only=True)
class SlurmConfig:
    """The batch job; empty settings are the cluster's defaults."""

    partition: str = ""
    """Partition of the job."""
    account: str = ""
    """Account that pays for the job."""
    time: str = ""
    """Limit of the job's time as Slurm writes it; the run is saved and queued again before it."""
    setup: str = ""
    """Shell line that comes first on every node, such as `module load python`."""
    options: tuple[str, ...] = ()
    """Further options of sbatch without their dashes, such as `qos=low`."""


@dataclass(frozen=True, kw_only=True)
class RayConfig:
    """The cluster, which is there already."""

    address: str = ""
    """HOST:PORT of the cluster's head (as `ray start --head` says it), or auto."""
    wait_s: float = 30.0
    """Seconds to wait for nodes at the start."""


@dataclass(frozen=True, kw_only=True)
class KubernetesConfig:
    """The cluster's objects."""

    image: str = ""
    """Container image, built from deploy/Containerfile."""
    namespace: str = "default"
    """Namespace of all objects."""
    claim: str = ""
    """Persistent volume claim for the run; empty: the pod's own disk, which is lost with it."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Where a run's roles run.

    Raises:
        ValueError: flags that do not fit together; the text names them.
    """

    engine: EngineName = "local"
    """Launcher of the roles, here or on a cluster's nodes."""
    nodes: int = 1
    """Machines to run on; the first is the learner's."""
    placement: Placement = "near"
    """Place of the model servers: on every node for its workers, or all on the first node."""
    node_cores: int = 0
    """Cores per node; 0: as on this machine."""
    dry_run: bool = False
    """Plan, config and script or manifest written into the run's directory, and nothing started."""
    slurm: SlurmConfig = field(default_factory=SlurmConfig)
    """Slurm's job."""
    ray: RayConfig = field(default_factory=RayConfig)
    """Ray's cluster."""
    kubernetes: KubernetesConfig = field(default_factory=KubernetesConfig)
    """Kubernetes' objects."""

    def __post_init__(self) -> None:
        if self.nodes < 1:
            raise ValueError(f"--nodes {self.nodes}: need 1 at least")
        if self.node_cores < 0:
            raise ValueError(f"--node-cores {self.node_cores}: need 0 or more")
        if self.engine == "local" and self.nodes > 1:
            raise ValueError(
                f"--nodes {self.nodes} needs --engine ray, slurm or kubernetes; other machines "
                "join a local run by: moma work --join"
            )
        if self.engine == "local" and self.node_cores:
            raise ValueError("--node-cores means nothing to --engine local; it has --threads")
        if self.engine == "kubernetes" and self.placement == "central":
            raise ValueError(
                "--placement central is not for --engine kubernetes: pods serve their own"
            )
        if self.engine == "kubernetes" and not self.dry_run:
            raise ValueError(
                "--engine kubernetes writes a manifest and starts nothing: add --dry-run, then "
                "kubectl apply -f the file that it names"
            )
        self._refuse_others()
        self._refuse_missing()

    @property
    def cores(self) -> int:
        """Cores of each node that the run may use."""
        return self.node_cores or process.cores()

    def only(self) -> Deployment:
        """Returns what this says, without what whoever inherits it says besides."""
        return Deployment(**{one.name: getattr(self, one.name) for one in fields(Deployment)})

    def words(self) -> list[str]:
        """Returns the command line of the process that is to run this."""
        return [
            "--engine", self.engine, "--nodes", str(self.nodes), "--placement", self.placement,
            "--node-cores", str(self.node_cores),
        ]  # fmt: skip

    def _refuse_others(self) -> None:
        """Refuses settings of an engine that is not this one."""
        for name, default in (
            ("slurm", SlurmConfig()), ("ray", RayConfig()), ("kubernetes", KubernetesConfig()),
        ):  # fmt: skip
            mine = getattr(self, name)
            if name != self.engine and mine != default:
                (first, *_) = [n for n in vars(mine) if vars(mine)[n] != vars(default)[n]]
                raise ValueError(f"--{name}.{first} means nothing to --engine {self.engine}")

    def _refuse_missing(self) -> None:
        """Refuses an engine that is not told what it cannot know."""
        if self.engine == "ray" and not self.ray.address:
            raise ValueError(
                "--engine ray needs --ray.address HOST:PORT, or auto: without it Ray would make a "
                "cluster of its own"
            )
        if self.engine == "kubernetes" and not self.kubernetes.image:
            raise ValueError(
                "--engine kubernetes needs --kubernetes.image, from deploy/Containerfile"
            )
        for option in self.slurm.options:
            if not re.fullmatch(r"[a-z][a-z-]*(=\S+)?", option):
                raise ValueError(f"--slurm.options {option!r}: need sbatch's words, as qos=low")
