"""What `moma train --data LOG` makes of every world, and whether it says so: `scripts/prove`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.proving import page
from benchmarks.proving.world import World, write
from benchmarks.proving.worlds import WORLDS
from moma_core.runtime import process, version
from moma_core.runtime.commandline import parse

Row = dict[str, Any]
_LIMIT_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Prove:
    """Trains on the log of every world, and compares what is said of the team with the truth."""

    worlds: tuple[str, ...] = tuple(WORLDS)
    """Worlds to try."""
    seeds: int = 3
    """Seeds per world, from 0; a seed is that of the log and of the run."""
    first: int = 0
    """First seed."""
    jobs: int = 0
    """Runs at a time, each on one core; 0: one per core."""
    rows: Path = Path("runs/proving/rows.jsonl")
    """File of the rows, one per run; what it holds already is not run again."""
    keep: Path = Path("runs/proving")
    """Directory of logs and runs."""
    flags: str = ""
    """Flags of `moma train` in addition, none by default: defaults are what is tried."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _prove(parse(Prove, argv, "scripts/prove")))


def _prove(args: Prove) -> int:
    unknown = [name for name in args.worlds if name not in WORLDS]
    if unknown:
        raise ValueError(f"there is no world {unknown[0]!r}; there are: {', '.join(WORLDS)}")
    done = {(row["world"], row["seed"]) for row in read(args.rows)}
    seeds = range(args.first, args.first + args.seeds)
    todo = [(name, seed) for seed in seeds for name in args.worlds if (name, seed) not in done]
    args.rows.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with ThreadPoolExecutor(args.jobs or process.cores()) as pool:
        runs = [pool.submit(run, WORLDS[name], seed, args.keep, args.flags) for name, seed in todo]
        for count, ended in enumerate(as_completed(runs), start=1):
            if ended.exception():
                pool.shutdown(wait=False, cancel_futures=True)  # what is done is kept
            row = ended.result()
            with args.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            passed = time.monotonic() - begun
            sys.stdout.write(f"{count}/{len(todo)} after {passed:.0f} s: {told(row)}\n")
            sys.stdout.flush()
    rows = list(read(args.rows))
    page.write(rows, args.rows.parent)
    sys.stdout.write(
        "\n".join([*page.figures(rows), f"page: {args.rows.parent / 'page.md'}"]) + "\n"
    )
    return 0


def read(path: Path) -> Iterator[Row]:
    """Yields the rows of a file; none where there is none."""
    if path.exists():
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


def run(world: World, seed: int, keep: Path, flags: str) -> Row:
    """Writes a world's log and trains on it as a user would, on one core.

    Args:
        world: the world.
        seed: of the log and of the run.
        keep: where logs and runs lie.
        flags: of `moma train`, in addition.

    Raises:
        ValueError: the run did not end with a result; its last lines are in the message.
    """
    name = f"{world.name}-{seed}"
    log, directory = keep / "logs" / name, keep / "runs" / name
    if not log.is_dir():
        write(world, log, seed)
    words = ["--data", str(log), "--env", world.env, "--seed", str(seed), *flags.split()]
    begin = ["--run-dir", str(directory), *words]
    begin = ["--resume", str(directory)] if directory.is_dir() else begin
    command = [sys.executable, "-m", "moma", "train", *begin, "--in-process"]
    begun = time.monotonic()
    ended = subprocess.run(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    result = directory / "result.json"
    if not result.exists():
        raise ValueError(
            f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr[-2000:]}"
        )
    found = json.loads(result.read_text(encoding="utf-8"))
    return _row(world, seed, found, time.monotonic() - begun)


def _row(world: World, seed: int, result: Row, seconds: float) -> Row:
    """Returns what is kept of a run."""
    belief = result["belief"]
    return {
        "world": world.name,
        "seed": seed,
        "optimum": world.optimum,
        "convention": world.convention,
        "log": belief["log"],
        "skill": belief["skill"],
        "truth": {n: score["return_mean"] for n, score in result["measured"].items()},
        "truth_ci95": {n: score["return_ci95"] for n, score in result["measured"].items()},
        "policies": belief["policies"],
        "recommended": belief["recommended"],
        "judgement": belief["judgement"],
        "updates": result["updates"],
        "phases": result["seconds"],
        "seconds": round(seconds, 1),
        "code": version.named(),
    }


def told(row: Row) -> str:
    """Returns a row as a line."""
    log, truth = row["log"], row["truth"]
    parts = [
        f"{row['world']} seed {row['seed']}: log {log['return_mean']:.2f}, best tenth "
        f"{log['best_tenth']:.2f}, optimum {row['optimum']:.2f}"
    ]
    for name, one in row["policies"].items():
        by_model = one["by_model"]
        parts.append(
            f"{name} {truth[name]:.2f} (model {by_model['return_mean']:.2f}, log "
            f"{one['by_log']['return_mean']:.2f}, out {by_model['outside_share']:.2f}, cut "
            f"{by_model['cut_share']:.2f}, unusual {by_model['unusual_share']:.2f}, "
            f"{one['judgement']['word']})"
        )
    return f"{'; '.join(parts)}; takes {row['recommended']}; {row['seconds']:.0f} s"
