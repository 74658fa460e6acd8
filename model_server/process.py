"""A model server's process, once its command line is read: load a model, wrap it, serve it."""

from __future__ import annotations

import logging
import signal
from threading import Event

from model_server.command import Serve
from model_server.serving.batching import Batching
from model_server.serving.swapped import Swapped
from model_server.serving.waiting import Limits
from model_server.simulator import Simulator
from model_server.world_model import files
from moma_core import own_code, tasks
from moma_core.ports import Dynamics
from moma_core.rpc.dynamics import serve_dynamics
from moma_core.rpc.endpoint import Endpoint
from moma_core.runtime import process

_LOG = logging.getLogger(__name__)
_LOOK_S = 0.2
"""Seconds between two looks whether another model is to be taken."""


def serve(args: Serve, endpoint: Endpoint) -> None:
    """Serves until the process is told to stop.

    Raises:
        ValueError: neither or both of a model and a task's simulator are named.
    """
    stopping = process.begin()
    threads = args.threads or process.cores()
    process.compute_on(threads)
    on_cores = args.device == "cpu" and args.model is not None
    if args.direct and not (on_cores and threads == 1):
        raise ValueError("--direct needs a model on the CPU and --threads 1: it runs one at a time")
    limits = Limits(max_rows=args.max_rows, queue_rows=args.queue_rows)
    swapped = Swapped(_dynamics(args))
    model = Batching(
        swapped,
        limits,
        alone=args.deterministic,
        streams=threads if on_cores else 1,
        direct=args.direct,
    )
    again = Event()
    signal.signal(signal.SIGHUP, lambda *_: again.set())
    server = serve_dynamics(model, endpoint)
    process.announce(args.announce, "model-server", server.address)
    while not stopping.wait(_LOOK_S):
        if again.is_set():
            again.clear()
            _swap(swapped, args)
    server.stop()
    model.close()


def _swap(swapped: Swapped, args: Serve) -> None:
    """Takes the model that lies where the first one lay, where it is whole."""
    try:
        card = swapped.swap(lambda: _dynamics(args))
    except (ValueError, OSError) as error:
        _LOG.warning("%s; it goes on with the model that it has", error)
    else:
        _LOG.info("serves model %s from now on", card.digest[:12])


def _dynamics(args: Serve) -> Dynamics:
    if sum(map(bool, (args.model, args.simulator, args.dynamics))) != 1:
        raise ValueError(
            "serve what? one of --model RUN, --simulator TASK and --dynamics package.module:factory"
        )
    if args.model is not None:
        inside = args.model / "model"
        path = inside if inside.is_dir() else args.model
        return files.load_on(args.device, path, args.precision)
    if args.dynamics:
        return _own(args.dynamics)
    process.compute_on(1)  # a second team would spin on the cores that MuJoCo's needs
    own_code.allow(args.simulator)
    return Simulator(tasks.get(args.simulator), args.threads or process.cores())


def _own(place: str) -> Dynamics:
    """Returns what a factory of the user's makes, which has to have the port's methods."""
    made = own_code.load(place, "--dynamics")()
    if not isinstance(made, Dynamics):
        raise ValueError(  # noqa: TRY004 - input
            f"--dynamics {place} has to make a Dynamics (describe, predict, metrics), got "
            f"{type(made).__name__}"
        )
    return made
