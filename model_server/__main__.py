"""Load a fitted model, wrap it, serve it: `moma serve`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from model_server import files
from model_server.batching import Batching
from moma import process
from moma.commandline import parse
from moma.rpc.dynamics import serve_dynamics


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Serves a fitted world model over gRPC on loopback until it is told to stop."""

    model: Path
    """The model directory, RUN/model."""
    listen: str = "127.0.0.1:0"
    """HOST:PORT; port 0 takes a free one and says which."""
    threads: int = 0
    """Torch threads; 0: one per core."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the hidden layers; auto: bf16 where the processor multiplies it natively."""
    deterministic: bool = False
    """Serve each request by itself, so that its bits do not depend on its neighbours."""
    announce: Path | None = None
    """A file to write the address to, once it is known."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Serve, argv, "moma serve")
    return process.main(lambda: _serve(args))


def _serve(args: Serve) -> None:
    stopping = process.begin()
    if args.threads:
        torch.set_num_threads(args.threads)
    model = Batching(files.load(args.model, args.precision), alone=args.deterministic)
    server = serve_dynamics(model, args.listen)
    process.announce(args.announce, "model-server", server.address)
    stopping.wait()
    server.stop()
    model.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
