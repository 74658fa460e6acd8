"""How long a large log of one's own takes to read, and in how much memory.

`python -m benchmarks.reading --scratch DIR`.
A scripted Reacher log is repeated, each time moved a little, to the number of transitions asked
for, and written as npz and as CSV; `moma data import` then reads each in a process of its own whose
address space is limited. The exit status is 1 where a limit is missed.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.csv

from moma_core import tasks
from moma_core.config import DataConfig
from moma_core.datasets import Dataset
from moma_core.runtime.commandline import parse

_SPACE = 6 << 30
"""Bytes of address space of the reading process."""
_RESIDENT = 2 << 30
"""Bytes that it may have in memory at most."""
_LIMIT_S = {"npz": 30.0, "csv": 60.0}
_PART = 500
"""Episodes of the log that is repeated."""
_MEASURED = """
import resource, sys
from moma.cli import main
status = main.main(sys.argv[1:])
lines = open("/proc/self/status").read().splitlines()
print(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")))
sys.exit(status)
"""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is read."""

    scratch: Path
    """Directory for the logs and datasets; it may not exist."""
    transitions: int = 1_000_000
    """Transitions of each log."""


def main(argv: list[str]) -> int:
    """Measures both formats and prints a line for each."""
    args = parse(Reading, argv, "python -m benchmarks.reading")
    args.scratch.mkdir(parents=True)
    made = tasks.get("reacher-leader").make_data(
        args.scratch / "part", DataConfig(episodes=_PART, variant="scripted"), 0
    )
    log = _log(made, args.transitions)
    missed = False
    writers: dict[str, Callable[[Log, Path], Path]] = {"npz": _npz, "csv": _csv}
    for kind, write in writers.items():
        path = write(log, args.scratch / kind)
        begin, spent = time.monotonic(), _processor()
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, "data", "import", path, "--out", f"{path}.data"],
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_SPACE, _SPACE)),
        )
        seconds, memory = time.monotonic() - begin, int(done.stdout.split()[-1])
        size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))
        assert Dataset.load(Path(f"{path}.data")).transitions == len(log.reward)
        processor = _processor() - spent
        print(
            f"{kind}: {len(log.reward):,} transitions, {size / 1e6:.0f} MB read in {seconds:.1f} s "
            f"(limit {_LIMIT_S[kind]:g}; {processor:.1f} s of processor time), "
            f"{memory / 1e6:.0f} MB resident (limit {_RESIDENT / 1e6:.0f})",
            flush=True,
        )
        missed |= seconds > _LIMIT_S[kind] or memory > _RESIDENT
    return int(missed)


def _processor() -> float:
    """Returns the seconds of processor time that ended child processes took."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


@dataclass(frozen=True, kw_only=True)
class Log:
    """Episodes of one length, `[K T ...]`."""

    seen: tuple[np.ndarray, ...]
    """Observations of each agent, a state more than steps."""
    acted: np.ndarray
    reward: np.ndarray
    steps: int


def _log(data: Dataset, transitions: int) -> Log:
    """Repeats a dataset until it is long enough."""
    times = -(-transitions // data.transitions)
    random = np.random.default_rng(0)
    state = np.concatenate(
        [data.state[:] + random.normal(0, 1e-3, 1).astype(np.float32) for _ in range(times)]
    )
    return Log(
        seen=tuple(state[:, list(own)] for own in data.spec.observation_index),
        acted=np.tile(data.action[:, :, 0], (times, 1)),
        reward=np.tile(data.reward, times),
        steps=data.spec.episode_limit,
    )


def _npz(log: Log, path: Path) -> Path:
    arrays: dict[str, Any] = {
        "reward": log.reward,
        "terminated": np.zeros(len(log.reward), np.bool_),
        "episode_length": np.full(len(log.reward) // log.steps, log.steps),
        **{f"obs/{i}": seen for i, seen in enumerate(log.seen)},
        **{f"act/{i}": log.acted[:, i : i + 1] for i in range(len(log.seen))},
    }
    np.savez(path.with_suffix(".npz"), **arrays)
    return path.with_suffix(".npz")


def _csv(log: Log, path: Path) -> Path:
    """A row per state; the last one of an episode has neither action nor reward."""
    path.mkdir()
    rows, final = len(log.seen[0]), np.zeros(len(log.seen[0]), np.bool_)
    final[log.steps :: log.steps + 1] = True
    step = np.minimum(np.cumsum(~final) - 1, len(log.reward) - 1)
    columns = {"episode": pyarrow.array(np.arange(rows) // (log.steps + 1))}
    said = ['episode = "episode"', 'reward = ["reward"]']
    for i, seen in enumerate(log.seen):
        names = [f"{i}.{column}" for column in range(seen.shape[1])]
        columns |= {name: pyarrow.array(seen[:, c]) for c, name in enumerate(names)}
        columns[f"{i}.torque"] = pyarrow.array(log.acted[step, i], mask=final)
        said += ["", f"[agents.{i}]", f"observation = {names}", f'action = ["{i}.torque"]']
    columns["reward"] = pyarrow.array(log.reward[step], mask=final)
    pyarrow.csv.write_csv(pyarrow.table(columns), path / "log.csv")
    (path / "columns.toml").write_text("\n".join(said), encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
