"""One rollout worker's process; it is told an address and asks for the rest."""

from __future__ import annotations

import logging
import math
import os
import socket
from collections.abc import Sequence

from moma_core import seeds
from moma_core.address import Address
from moma_core.rpc import pool
from moma_core.rpc.channel import Patience
from moma_core.rpc.learner import LearnerClient
from moma_core.rpc.replicas import Replicas
from moma_core.rpc.trust import Pass
from moma_core.runtime import process
from moma_core.stopping import STOPPED, StoppedError
from rollout_workers.command import Work
from rollout_workers.worker import Worker

_LOG = logging.getLogger(__name__)


def work(args: Work) -> int:
    """Imagines segments until the run is over (status 0) or the process is told to stop.

    Raises:
        GoneError: the learner has not answered for `args.wait`.
    """
    stopping = process.begin()
    process.yield_cores()
    process.compute_on(args.threads)
    trust = None if args.token_file is None else Pass(token=args.token_file, ca=args.ca)
    name = args.name or f"{socket.gethostname()}-{os.getpid()}"

    def patience(whom: str, most_s: float = math.inf) -> Patience:
        return Patience(whom, stopping.is_set, _LOG.warning, most_s=most_s)

    whom = f"the learner at {args.join}"
    try:
        learner = LearnerClient(args.join, patience(whom, 60 * args.wait or math.inf), trust)
        servers = args.model_server or order(learner.describe().model_servers, name)
        whom = f"the model server at {' or '.join(map(str, servers))}"
        dynamics = Replicas(servers, patience(whom), _LOG.warning, trust)
        worker = Worker(learner, dynamics, name, args.incarnation)
        _LOG.info("%s works for the learner at %s, imagines at %s", name, args.join, servers[0])
        while not stopping.is_set():
            if not worker.step():
                return 0
    except StoppedError as stopped:
        _LOG.info("%s", stopped)
    return STOPPED


def order(addresses: Sequence[Address], name: str) -> tuple[Address, ...]:
    """Returns a worker's own server, always the same and about as often as any, then the others."""
    if not addresses:
        return ()
    own = seeds.derive(0, "model server", name) % len(addresses)
    return pool.own_first(addresses, own)
