"""The logs of the convention games that the suite `games` learns from, one a seed.

`python -m benchmarks.study.logs --seeds 10`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.proving.world import write
from benchmarks.proving.worlds import WORLDS
from moma_core.runtime import process
from moma_core.runtime.commandline import parse


@dataclass(frozen=True, kw_only=True)
class Logs:
    """Writes the logs that are not there yet."""

    worlds: tuple[str, ...] = ("convention-2", "convention-3", "convention-4", "convention-6")
    """Worlds of the proving ground."""
    seeds: int = 10
    """Seeds, from 0."""
    out: Path = Path("runs/logs")
    """Directory of the logs."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _logs(parse(Logs, argv, "python -m benchmarks.study.logs")))


def _logs(args: Logs) -> None:
    for name in args.worlds:
        for seed in range(args.seeds):
            path = args.out / f"{name}-{seed}"
            if not path.is_dir():
                write(WORLDS[name], path, seed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
