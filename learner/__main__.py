"""The learner's command line: `moma learn`."""

from __future__ import annotations

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

    from learner.process import learn  # loads torch

    return learn(args, endpoint)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
