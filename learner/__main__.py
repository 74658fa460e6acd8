"""The learner's command line: `moma learn`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from learner.command import Learn
from moma_core.runtime import process
from moma_core.runtime.commandline import parse_run


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _learn(parse_run(Learn, argv, "moma learn")))


def _learn(args: Learn) -> int:
    endpoint = args.endpoint()  # first of all: a refusal comes at once

    if args.rank:  # each second that it waits for a round torch would warn of
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from learner.process import learn  # loads torch

    return learn(args, endpoint)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
