"""One rollout worker; it is told an address and asks for the rest: `moma work`."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from moma_core import seeds
from moma_core.address import Address
from moma_core.rpc.channel import Patience, StoppedError
from moma_core.rpc.dynamics import DynamicsClient
from moma_core.rpc.learner import LearnerClient
from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from rollout_workers.worker import Worker

_LOG = logging.getLogger(__name__)
_GROUPS = 8
"""Groups of a segment that are imagined at once at most."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Imagines segments for a learner until the run is over. Any number may join or leave."""

    learner: Address
    """HOST:PORT of the learner."""
    name: str = ""
    """Unique within the run; default: host and process number."""
    incarnation: int = 0
    """How often this worker has been started before."""
    model_server: Address | None = None
    """HOST:PORT of the model server to ask; default: one of those that the learner names."""
    threads: int = 1
    """Torch threads."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Work, argv, "moma work")
    return process.main(lambda: _work(args))


def _work(args: Work) -> int:
    stopping = process.begin()
    process.yield_cores()
    torch.set_num_threads(args.threads)
    name = args.name or f"{socket.gethostname()}-{os.getpid()}"

    def patience(whom: str) -> Patience:
        return Patience(whom, stopping.is_set, _LOG.warning)

    # A thread per group: while one waits for the model, the other's actors act.
    pool = ThreadPoolExecutor(_GROUPS, "group", lambda: torch.set_num_threads(args.threads))
    try:
        learner = LearnerClient(args.learner, patience(f"the learner at {args.learner}"))
        address = args.model_server or _of(learner.describe().model_servers, name)
        dynamics = DynamicsClient(address, patience(f"the model server at {address}"))
        worker = Worker(learner, dynamics, name, args.incarnation, together=pool.map)
        _LOG.info("%s works for the learner at %s, imagines at %s", name, args.learner, address)
        while not stopping.is_set():
            if not worker.step():
                return 0
    except StoppedError as stopped:
        _LOG.info("%s", stopped)
    return process.STOPPED


def _of(addresses: Sequence[Address], name: str) -> Address:
    """Returns a worker's own server: always the same, and about as often as any other."""
    return addresses[seeds.derive(0, "model server", name) % len(addresses)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
