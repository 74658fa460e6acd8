"""Which processes serve a run's model, on which cores, and who asks which: one pure function.

The learner is not in the plan: it takes every core, since all others wait while it updates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Server:
    """A process that serves the model."""

    threads: int
    """Batches that it runs at once, each on one core; of a simulator: MuJoCo's threads."""
    direct: bool
    """Lone callers' batches run where they are awaited, without a change of threads."""
    core: int | None
    """The only core that it may run on; None: any."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A process that imagines."""

    server: int
    """The number of the server that it asks."""
    core: int | None
    """The only core that it may run on; None: any."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Servers and workers of one machine."""

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
) -> Plan:
    """Plans a run's model servers and its workers. What was measured: docs/performance.md.

    Args:
        cores: numbers of the cores that a process can be kept to; none where nothing can be.
        threads: how many cores the run may use.
        workers: rollout workers.
        servers: model servers; 0: as many as pay.
        device: where the model computes.
        dynamics: what is served.
    """
    # A device, or MuJoCo's own threads, are one process's; there is one batch at a time.
    if device != "cpu" or dynamics == "simulator":
        alone = Server(threads=threads, direct=False, core=None)
        return Plan(servers=(alone,), workers=(Worker(server=0, core=None),) * workers)
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
