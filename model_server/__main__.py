"""A model server's command line: `moma serve`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from model_server.command import Serve
from moma_core.runtime import process
from moma_core.runtime.commandline import parse


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Serve, argv, "moma serve")
    return process.main(lambda: _serve(args))


def _serve(args: Serve) -> None:
    endpoint = args.endpoint()  # first of all: a refusal comes at once
    if endpoint.keys is not None and endpoint.address.loopback:
        raise ValueError(
            f"model servers on loopback ({endpoint.address}) are called in plaintext: leave --keys "
            "out, or listen or advertise beyond it"
        )

    from model_server.process import serve  # loads torch

    serve(args, endpoint)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
