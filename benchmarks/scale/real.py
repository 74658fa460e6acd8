"""Real worker processes on the real learner's service and a dynamics server that sleeps.

    python -m benchmarks.scale.real [--workers 1 2 4 8 16] [--cost-ms 60] [--at-once 8]

The stub answers `--at-once` requests at a time, each after `--cost-ms` for 64 rows; `--rows` is a
round that two workers could make, in pieces of 256. The stub sleeps, and for so long that sixteen
workers take less than one of this machine's two cores: with a cost of 3 ms the cores would hold
eight of them up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.scale.stubs import Fed
from moma_core.address import Address
from moma_core.types import Metrics

_POLL_S = 0.02


class Asleep:
    """The dynamics server's process."""

    def __init__(self, seconds: float, at_once: int) -> None:
        """Starts it and waits until it listens."""
        words = [sys.executable, "-m", "benchmarks.scale.asleep", str(seconds), str(at_once)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())
        self.address = Address.parse(told["address"])

    def end(self) -> None:
        """Closes its input and waits."""
        self._process.communicate(timeout=20)


def start(learner: Address, dynamics: Address, number: int) -> subprocess.Popen[Any]:
    """Starts one worker, as `moma work` would be started."""
    words = ("--join", learner, "--model-server", dynamics, "--name", f"real-{number}")
    command = [sys.executable, "-m", "rollout_workers", *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def edge(fed: Fed) -> tuple[float, Metrics]:
    """Waits for the end of a round; returns when it was, and the counters."""
    round_ = fed.counters()["round"]
    while (seen := fed.counters())["round"] == round_:
        time.sleep(_POLL_S)
    return time.monotonic(), seen


def measure(args: argparse.Namespace, workers: int) -> Metrics:
    """Lets so many workers make rounds for a while; returns rates.

    Args:
        args: the command line.
        workers: processes.
    """
    asleep = Asleep(args.cost_ms / 1e3, args.at_once)
    fed = Fed(args.rows, args.horizon, 0, args.update_s)
    team = [start(fed.address, asleep.address, number) for number in range(workers)]
    try:
        while fed.counters()["workers in a round"] < min(workers, args.rows):
            time.sleep(0.5)
        begun, before = edge(fed)
        time.sleep(args.seconds)
        ended, after = edge(fed)
    finally:
        for worker in team:
            worker.kill()
            worker.wait()
        fed.end()
        asleep.end()
    taken, grown = ended - begun, {name: after[name] - before[name] for name in after}
    return {
        "workers": workers,
        "rounds/s": grown["round"] / taken,
        "segments/s": grown["pieces"] / taken,
        "workers in a round": after["workers in a round"],
        "handed out again": grown["fault/reissued_segments"],
    }


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--horizon", type=int, default=4)
    parser.add_argument("--cost-ms", type=float, default=480.0)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--update-s", type=float, default=0.0)
    parser.add_argument("--json", help="file that the rows are written to")
    return parser.parse_args(words)


def main() -> None:
    """Prints a line for each number of workers."""
    args, rows = parsed(), []
    for workers in sorted(args.workers):
        rows.append(row := measure(args, workers))
        row["of linear"] = row["rounds/s"] / (rows[0]["rounds/s"] / rows[0]["workers"] * workers)
        print("  ".join(f"{name} {value:.3g}" for name, value in row.items()), flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump({"settings": vars(args), "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
