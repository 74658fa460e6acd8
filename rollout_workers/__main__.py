"""A rollout worker's command line: `moma work`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from rollout_workers.command import Work


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Work, argv, "moma work")
    return process.main(lambda: _work(args))


def _work(args: Work) -> int:
    from rollout_workers.process import work  # loads torch

    return work(args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
