"""Which processes serve a run's model, on which nodes and cores, who asks which: a pure function.

The learner is not in the plan: it has every core of the first node, since all others wait while it
updates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Placement = Literal["near", "central"]
"""Model servers on every node, for the workers of that node, or all on the first one."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A process that serves the model."""

    threads: int
    """Batches that it runs at once, each on one core; of a simulator: MuJoCo's threads."""
    direct: bool
    """Lone callers' batches run where they are awaited, without a change of threads."""
    core: int | None
    """The only core that it may run on; None: any."""
    node: int = 0
    """The node that it runs on; the first one is the learner's."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A process that imagines."""

    server: int
    """The number of the server that it asks."""
    core: int | None
    """The only core that it may run on; None: any."""
    node: int = 0
    """The node that it runs on."""


@dataclass(frozen=True, kw_only=True)
class Further:
    """The nodes beside the first one."""

    cores: tuple[int, ...] = ()
    """Cores of each of them; nobody is kept to one of these."""
    placement: Placement = "near"
    """Nodes with model servers."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Servers and workers of a run."""

    servers: tuple[Server, ...]
    workers: tuple[Worker, ...]


def plan(
    *,
    cores: Sequence[int],
    threads: int,
    workers: int,
    servers: int = 0,
    device: Literal["cpu", "cuda"] = "cpu",
    dynamics: Literal["learned", "simulator"] = "learned",
    further: Further = Further(),
) -> Plan:
    """Plans a run's model servers and its workers. What was measured: docs/performance.md.

    Args:
        cores: numbers of the first node's cores that a process can be kept to; none where nothing
            can be.
        threads: how many cores of the first node the run may use.
        workers: rollout workers on all nodes, as many on each as on the others.
        servers: model servers on all nodes; 0: as many as pay.
        device: where the model computes.
        dynamics: what is served.
        further: the nodes beside the first one.
    """
    alone = device != "cpu" or dynamics == "simulator"
    counts = shares(workers, 1 + len(further.cores))
    if further.placement == "central":
        whole = _machine(cores, threads, workers, servers, alone=alone)
        return Plan(servers=whole.servers, workers=_moved(whole.workers, counts))
    asked = shares(servers, 1 + len(further.cores))
    parts = [_machine(cores, threads, counts[0], asked[0], alone=alone)]
    parts += [
        _machine((), count, counts[node], asked[node], alone=alone)
        for node, count in enumerate(further.cores, 1)
    ]
    return _joined(parts)


def _machine(
    cores: Sequence[int], threads: int, workers: int, servers: int, *, alone: bool
) -> Plan:
    """Plans one node: `alone` is one server with all threads, as a device and MuJoCo need it.

    They are one process's; there is one batch at a time.
    """
    if alone:
        server = Server(threads=threads, direct=False, core=None)
        return Plan(servers=(server,), workers=(Worker(server=0, core=None),) * workers)
    count = servers or _servers(threads, workers)
    batches = _batches(threads // count, math.ceil(workers / count))
    homes = _homes(cores, count)
    return Plan(
        servers=tuple(
            Server(threads=batches, direct=batches == 1, core=homes[index])
            for index in range(count)
        ),
        workers=tuple(
            Worker(server=index % count, core=homes[index % count]) for index in range(workers)
        ),
    )


def shares(total: int, nodes: int) -> list[int]:
    """Returns how many of `total` each node gets; the first ones get what is left over."""
    return [total // nodes + (node < total % nodes) for node in range(nodes)]


def _moved(workers: Sequence[Worker], counts: Sequence[int]) -> tuple[Worker, ...]:
    """Returns the first node's workers as `counts` of them on each node, bound on none but it."""
    nodes = [node for node, count in enumerate(counts) for _ in range(count)]
    return tuple(
        replace(worker, node=node, core=None if node else worker.core)
        for worker, node in zip(workers, nodes, strict=True)
    )


def _joined(parts: Sequence[Plan]) -> Plan:
    """Returns the plans of all nodes as one; servers are numbered through."""
    servers: list[Server] = []
    workers: list[Worker] = []
    for node, part in enumerate(parts):
        first = len(servers)
        servers += [replace(server, node=node) for server in part.servers]
        workers += [replace(w, node=node, server=w.server + first) for w in part.workers]
    return Plan(servers=tuple(servers), workers=tuple(workers))


def _servers(threads: int, workers: int) -> int:
    """Returns one for each worker while there are cores.

    Batches side by side in one process wait for its interpreter between operations: two processes
    answer 1.3 to 1.5 times as many rows on two cores. Each holds the model and takes a few hundred
    megabytes, as a worker does; a server that no worker asks would take them for nothing.
    """
    return min(threads, workers)


def _batches(share: int, asked: int) -> int:
    """Returns how many batches a server runs at once: one a core of its share, while it is asked.

    Each is computed by one core alone, so that nobody waits at a barrier for a thread that a worker
    has pushed aside. More batches than its workers have requests would never run, and a server
    that runs one at a time can run it where it is awaited, which is 6 to 9 % faster. Workers
    that join later share a batch.
    """
    return max(1, min(share, asked))


def _homes(cores: Sequence[int], servers: int) -> Sequence[int | None]:
    """Returns the core that each server and its workers keep to, where every core has its server.

    A worker waits while its server computes, so that the two can share a core. Left free, two such
    pairs are often put on one core while another is idle: a fifth of the rollouts' time on two
    cores. With cores to spare the system finds an idle one, and nobody is bound.
    """
    return cores if 1 < servers == len(cores) else [None] * servers
