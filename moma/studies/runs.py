"""The runs of a study: each `moma train` in a process of its own, as many at a time as asked for.

A run that was stopped goes on where it was when the study is started again. Whatever kills the
study ends its runs as well: they see their standard input close.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moma.studies.rows import Estimated, Point, Returns, Row
from moma.studies.suite import Entry, Job
from moma_core.runtime import process
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import STOPPED, Stop

_LOOK_S = 0.2
_SAID = 600
"""Characters of a failed run's last words that are told."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A run that ended without a result."""

    status: int
    said: str


Ended = Row | Failed | None
"""What came of a run; None: it was stopped, and goes on when it is started again."""


def run(
    jobs: Sequence[Job], keep: Path, count: int, stopping: Stop, tell: Callable[[str], None]
) -> Iterator[tuple[Job, Ended]]:
    """Runs jobs and yields what came of each as it ends.

    Args:
        jobs: what to run, in this order.
        keep: directory of the runs.
        count: runs at a time.
        stopping: true once nothing more is to begin, and what runs is to stop.
        tell: told which run begins.
    """
    waiting, running = list(jobs), dict[Job, _Running]()
    try:
        while running or (waiting and not stopping()):
            while waiting and len(running) < count and not stopping():
                job = waiting.pop(0)
                tell(f"begins: {job.name}")
                running[job] = _Running(job, keep / job.name)
            if stopping():
                for one in running.values():
                    one.stop()
            for job in [job for job, one in running.items() if one.over]:
                yield job, running.pop(job).ended()
            time.sleep(_LOOK_S)
    finally:
        for one in running.values():
            one.stop()
        for one in running.values():
            one.process.wait()


class _Running:
    """One `moma train`."""

    def __init__(self, job: Job, directory: Path) -> None:
        self._job, self._directory, self._stopped = job, directory, False
        begun = (directory / "config.json").is_file()
        words = ["--resume", str(directory)] if begun else [*job.words, "--run-dir", str(directory)]
        directory.parent.mkdir(parents=True, exist_ok=True)
        self._log = (directory.parent / f"{job.name}.log").open("a+", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moma", "train", *words, "--in-process", "--eval.no-film"],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1", process.LIFELINE: "1"},
        )

    @property
    def over(self) -> bool:
        """True once the process has ended."""
        return self.process.poll() is not None

    def stop(self) -> None:
        """Asks the run once to keep where it is and to stop."""
        if not self._stopped and not self.over:
            self._stopped = True
            self.process.terminate()

    def ended(self) -> Ended:
        """Returns what came of it."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._log.seek(0)
        said = self._log.read().strip()
        self._log.close()
        if (self._directory / "result.json").is_file():
            return row(RunDirectory.open(self._directory), self._job)
        if self._stopped or self.process.returncode == STOPPED:
            return None
        return Failed(status=self.process.returncode, said=said[-_SAID:])


def row(run: RunDirectory, job: Job | None = None) -> Row:
    """Returns what came of a run that has ended.

    Args:
        run: the run.
        job: what it was in a study; None: it was none of one, and its config says what it was.

    Raises:
        ValueError: it has not ended, or its returns have no scale.
    """
    if not run.result.is_file():
        raise ValueError(f"{run.path} has no result yet; see: moma status {run.path}")
    config, result = run.config(), json.loads(run.result.read_text(encoding="utf-8"))
    if result["return_mean"] is None:
        raise ValueError(f"{run.path} was played in no environment: there is nothing to compare")
    entry = job.entry if job and job.entry.scale else None  # with a scale of its own
    score = entry.score(result["return_mean"]) if entry else result["score"]
    if score is None:
        raise ValueError(f"the returns of {run.path} have no scale; a suite gives one: scale")
    seconds = {name: float(value) for name, value in result["seconds"].items()}
    spent = sum(value for name, value in seconds.items() if name != "training_rounds")
    return Row(
        task=job.entry.task if job else result["task"],
        variant=job.entry.variant if job else config.data.variant,
        algorithm=job.method.label if job else config.algorithm,
        seed=result["seed"],
        score=score,
        returns=Returns(
            mean=result["return_mean"],
            ci95=tuple(result["return_ci95"]),
            episodes=result["episodes"],
        ),
        estimate=_estimated(result["belief"]),
        curve=tuple(_curve(run, entry)),
        rounds=result["updates"],
        seconds=seconds | {"total": round(spent, 2)},
        settings=job.settings if job else "",
        commit=result["versions"]["code"],
        data_sha256=result["data_sha256"],
        true_evaluations_used_in_tuning=job.method.tuning if job else 0,
    )


def _estimated(belief: dict[str, Any] | None) -> Estimated | None:
    """Returns what a run's result says of its team's worth."""
    if belief is None:
        return None
    worth = belief["policies"]["team"]["worth"]
    return Estimated(
        return_mean=worth["return_mean"],
        return_ci95=tuple(worth["return_ci95"]),
        judgement=belief["judgement"],
    )


def _curve(run: RunDirectory, entry: Entry | None) -> Iterator[Point]:
    """Yields a run's evaluations on the way, those of a resumed run once.

    Args:
        run: the run.
        entry: whose scale the scores are on; None: they are on the task's.
    """
    found: dict[int, float] = {}
    lines = (run.events / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    for line in map(json.loads, lines):
        value = line.get("eval/score")
        if entry is not None and line.get("eval/return") is not None:
            value = entry.score(line["eval/return"])
        if value is not None:
            found[int(line["charts/round"])] = value
    for at, value in sorted(found.items()):
        yield Point(round=at, score=round(value, 4))
