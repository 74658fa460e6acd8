"""Load a fitted model, wrap it, serve it: `moma serve`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from model_server.serving.batching import Batching
from model_server.serving.waiting import Limits
from model_server.simulator import Simulator
from model_server.world_model import files
from moma_core import tasks
from moma_core.address import FREE, Address
from moma_core.ports import Dynamics
from moma_core.rpc.dynamics import serve_dynamics
from moma_core.rpc.endpoint import Endpoint
from moma_core.runtime import process
from moma_core.runtime.commandline import parse


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Serves a fitted world model, or a task's simulator, over gRPC until it is told to stop."""

    model: Path | None = None
    """The model directory, RUN/model."""
    simulator: str = ""
    """A task whose true system to serve instead of a model."""
    listen: Address = FREE
    """HOST:PORT; port 0 takes a free one and says which."""
    threads: int = 0
    """Batches that are run at once, each on a core of its own; 0: one per core."""
    direct: bool = False
    """Run a lone caller's batch where it is awaited; for one thread on the CPU."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the model computes."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the hidden layers; auto: bf16 where the processor multiplies it natively."""
    deterministic: bool = False
    """Serve each request by itself, so that its bits do not depend on its neighbours."""
    max_rows: int = 4096
    """Of one batch; a larger request still goes through, by itself."""
    queue_rows: int = 0
    """That may wait before further requests are refused; 0: four batches."""
    delay_ms: float = 0.0
    """For which a request may be kept waiting for others to share its batch."""
    announce: Path | None = None
    """A file to write the address to, once it is known."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Serve, argv, "moma serve")
    return process.main(lambda: _serve(args))


def _serve(args: Serve) -> None:
    stopping = process.begin()
    endpoint = Endpoint(bind=args.listen)
    threads = args.threads or process.cores()
    torch.set_num_threads(threads)
    on_cores = args.device == "cpu" and args.model is not None
    if args.direct and not (on_cores and threads == 1):
        raise ValueError("--direct needs a model on the CPU and --threads 1: it runs one at a time")
    limits = Limits(max_rows=args.max_rows, queue_rows=args.queue_rows, delay_s=args.delay_ms / 1e3)
    model = Batching(
        _dynamics(args),
        limits,
        alone=args.deterministic,
        streams=threads if on_cores else 1,
        direct=args.direct,
    )
    server = serve_dynamics(model, endpoint)
    process.announce(args.announce, "model-server", server.address)
    stopping.wait()
    server.stop()
    model.close()


def _dynamics(args: Serve) -> Dynamics:
    if (args.model is None) == (not args.simulator):
        raise ValueError("serve what? one of --model RUN/model and --simulator TASK")
    if args.model is not None:
        return files.load_on(args.device, args.model, args.precision)
    torch.set_num_threads(1)  # a second team would spin on the cores that MuJoCo's needs
    return Simulator(tasks.get(args.simulator), args.threads or process.cores())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
