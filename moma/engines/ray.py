"""Ray: an actor on each further node that starts processes there; the data goes over our gRPC.

The driver is on the run's first node, whose roles are its own processes. Ray says which nodes there
are, keeps their cores for the run, and starts an actor again, on another node if there is one.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from moma.engines.base import Engine, Nodes, RoleSpec
from moma.engines.deployment import Deployment
from moma.engines.local import LocalEngine
from moma.engines.ray_machine import Machine, Report
from moma_core.address import Address

_ASK_S = 0.2
"""Seconds between two questions to a node's actor."""
_CLOSE_S = 5.0
"""Seconds that the actors have to remove what they wrote."""
_OWN = 0.001
"""Share of a node's own resource that says which node a bundle is for."""
_LOST = 1
"""Exit status of a role whose node or actor is gone."""


class RayNode:
    """A further node as an engine.

    Args:
        actor: its `Machine`, as Ray hands it out.
        logs: where what its processes say is written, as for those of this node.
    """

    def __init__(self, actor: Any, logs: Path) -> None:  # noqa: ANN401 - Ray's handles have no type
        self.actor, self._logs = actor, logs
        self._asked: Any = None
        self.questions, self.answered, self.heard = 0, 0, time.monotonic()
        self._reports: dict[str, Report] = {}

    def start(self, role: RoleSpec, incarnation: int, address: Address | None) -> RayRole:
        """Starts a role and does not wait for it.

        Args:
            role: what to start.
            incarnation: how often it was started before.
            address: not used: nobody calls what runs on a further node.
        """
        del address
        files = {str(path): path.read_bytes() for path in role.files}
        key = f"{role.name}.{incarnation}"
        self.actor.start.remote(key, role, incarnation, files)
        return RayRole(self, key)

    def report(self, key: str) -> Report | None:
        """Returns what was last said of a role, and asks anew if that is long ago."""
        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            try:
                self._reports = ray.get(self._asked)
                self.heard = time.monotonic()
                self._write()
            except RayError:  # the actor is gone, and all it had started
                self._reports = {}
            self._asked, self.answered = None, self.questions
        if self._asked is None and time.monotonic() - self.heard >= _ASK_S:
            self._asked = self.actor.report.remote()
            self.questions += 1
        return self._reports.get(key)

    def _write(self) -> None:
        for key, report in self._reports.items():
            if report.said:
                name = key.rpartition(".")[0]
                with (self._logs / f"{name}.log").open("a", encoding="utf-8") as log:
                    log.write(report.said)


class RayRole:
    """A role that was started on a further node.

    Args:
        node: where.
        key: its name there.
    """

    def __init__(self, node: RayNode, key: str) -> None:
        self._node, self._key = node, key
        self._began = node.questions
        self._seen: Report | None = None

    def _report(self) -> Report | None:
        report = self._node.report(self._key)
        self._seen = report or self._seen
        return report

    @property
    def number(self) -> int:
        """Its process number there; 0 while it is not known."""
        return self._seen.number if self._seen is not None else 0

    @property
    def host(self) -> str:
        """Where it runs; empty while it is not known."""
        return self._seen.host if self._seen is not None else ""

    def status(self) -> int | None:
        """Returns its exit status; one of its own where its node is lost."""
        report = self._report()
        if report is not None:
            return report.status
        return _LOST if self._node.answered > self._began else None

    def address(self) -> Address | None:
        """Returns where peers call it, if it has said so."""
        report = self._report()
        return None if report is None or report.address is None else Address.parse(report.address)

    def silent_s(self) -> float:
        """Returns the seconds since its last sign of life."""
        report = self._report()
        return time.monotonic() - self._node.heard + (0.0 if report is None else report.silent_s)

    def memory(self) -> int:
        """Returns its bytes there; none of them are this machine's."""
        return 0

    def tail(self) -> str:
        """Returns the end of its log, as far as it was heard of."""
        return self._seen.tail if self._seen is not None else "  its node was not heard of"

    def ask(self) -> None:
        """Asks it to end."""
        self._node.actor.ask.remote(self._key)

    def kill(self) -> None:
        """Ends it at once."""
        self._node.actor.kill.remote(self._key)


@contextmanager
def engine(
    here: LocalEngine, logs: Path, deployment: Deployment, cores: int, gpus: int
) -> Iterator[Engine]:
    """Yields the engine of a run on a cluster, whose nodes it keeps for so long.

    Args:
        here: starts the first node's roles.
        logs: directory of the run's logs.
        deployment: how many nodes, and the cluster's address.
        cores: to keep of each node.
        gpus: to keep of each node.

    Raises:
        ValueError: there is no such cluster, or it lacks nodes; the text says which there are.
    """
    settings = deployment.ray
    ours = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ray.init(address=settings.address, namespace="moma", log_to_driver=False)
        for number, handler in ours.items():  # Ray's own would end this process unsaved
            signal.signal(number, handler)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(f"--ray.address {settings.address}: {error}") from error
    own = f"node:{ray.util.get_node_ip_address()}"
    share = {"CPU": float(cores)} | ({"GPU": float(gpus)} if gpus else {})
    bundles = [share | {own: _OWN}] + [share] * (deployment.nodes - 1)
    group = placement_group(bundles, strategy="STRICT_SPREAD")
    try:
        if not group.wait(timeout_seconds=settings.wait_s):
            raise ValueError(_lacking(deployment, cores, gpus))
        nodes = [RayNode(_actor(group, node), logs) for node in range(1, len(bundles))]
        try:
            yield Nodes([here, *nodes])
        finally:
            _close(nodes)
    finally:
        remove_placement_group(group)
        ray.shutdown()


def _close(nodes: Sequence[RayNode]) -> None:
    gone = [node.actor.close.remote() for node in nodes]
    if gone:
        ray.wait(gone, num_returns=len(gone), timeout=_CLOSE_S)


def own_host() -> str:
    """Returns this node's address as the cluster calls it."""
    return str(ray.util.get_node_ip_address())


def _actor(group: Any, node: int) -> Any:  # noqa: ANN401 - Ray's handles have no type
    where = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=node)
    machine = ray.remote(Machine).options(
        num_cpus=0, max_restarts=-1, max_task_retries=0, scheduling_strategy=where
    )
    return machine.remote()


def _lacking(deployment: Deployment, cores: int, gpus: int) -> str:
    """Returns which nodes there are where more are wanted."""
    nodes: Sequence[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]
    there = [
        f"{node['NodeManagerAddress']} ({node['Resources'].get('CPU', 0):.0f} cores, "
        f"{node['Resources'].get('GPU', 0):.0f} GPUs)"
        for node in nodes
    ]
    return (
        f"--nodes {deployment.nodes} of {cores} cores and {gpus} GPUs each, this one among them, "
        f"were not free within {deployment.ray.wait_s:.0f} s; the cluster at "
        f"{deployment.ray.address} has {len(nodes)}: {', '.join(there)}"
    )
