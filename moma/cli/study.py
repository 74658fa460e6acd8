"""Many runs as a list, a row each. `moma study SUITE`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moma.studies import rows, runs, suite
from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from moma_core.stopping import STOPPED


@dataclass(frozen=True, kw_only=True)
class Study:
    """Trains every algorithm of a suite on every task of it; started again, it goes on."""

    suite: Annotated[Path, tyro.conf.Positional]
    """JSON file of tasks and algorithms; benchmarks/study has some."""
    seeds: int = 1
    """Seeds per task and algorithm."""
    first: int = 0
    """First seed."""
    jobs: int = 0
    """Runs at a time, each on one core; 0: one per core."""
    rows: Path | None = None
    """File of the rows; default: runs/studies/ and the suite's name."""
    keep: Path = Path("runs/studies")
    """Directory of the runs."""
    minutes: float = 0.0
    """Minutes after which the runs stop where they are; 0: no such limit."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _study(parse(Study, argv, "moma study")))


def _study(args: Study) -> int:
    """Makes the rows that are missing; returns the exit status."""
    file = args.rows or args.keep / f"{args.suite.stem}.jsonl"
    every = list(suite.read(args.suite).jobs(args.seeds, args.first))
    have = rows.read(file)
    missing = [job for job in every if not any(job.made(row) for row in have)]
    begun, asked = time.monotonic(), process.begin()
    sys.stdout.write(f"{len(missing)} of {len(every)} runs are missing in {file}\n")

    def stopping() -> bool:
        late = args.minutes > 0 and time.monotonic() - begun > 60 * args.minutes
        return asked.is_set() or late

    def tell(said: str) -> None:
        sys.stdout.write(f"{time.monotonic() - begun:6.0f} s  {said}\n")
        sys.stdout.flush()

    made, failed = 0, list[str]()
    keep = args.keep / args.suite.stem
    for job, ended in runs.run(missing, keep, args.jobs or process.cores(), stopping, tell):
        if isinstance(ended, rows.Row):
            rows.append(file, ended)
            made += 1
            tell(f"{made}/{len(missing)} {job.name}: score {ended.score:.3f}")
        elif ended is None:
            tell(f"stopped: {job.name}")
        else:
            failed.append(job.name)
            tell(f"FAILED with status {ended.status}: {job.name}: {ended.said}")
    if failed:
        sys.stderr.write(f"error: {len(failed)} runs failed: {', '.join(failed)}\n")
        return 1
    if made < len(missing):
        words = shlex.join(["moma", "study", *sys.argv[2:]])
        sys.stderr.write(f"{len(missing) - made} runs are missing; go on with: {words}\n")
        return STOPPED
    sys.stdout.write(f"all rows are there; see: moma compare {file}\n")
    return 0
