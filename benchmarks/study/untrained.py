"""What policies are worth that nobody has trained: the base rate of every score of a suite.

`python -m benchmarks.study.untrained benchmarks/study/games.json --seeds 20`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moma.cli.train import Train
from moma.evaluation import intervals
from moma.studies import rows, suite
from moma.studies.rows import Returns, Row
from moma.studies.suite import Entry
from moma_core import seeds
from moma_core.nets.policy import Actors
from moma_core.runtime import process, subject, version
from moma_core.runtime.commandline import parse, parse_run
from moma_core.runtime.run import RunDirectory
from moma_core.tasks import play

LABEL = "untrained"


@dataclass(frozen=True, kw_only=True)
class Untrained:
    """Plays first policies of every task of a suite as final ones are played."""

    suite: Annotated[Path, tyro.conf.Positional]
    """JSON file of tasks and algorithms."""
    seeds: int = 20
    """Seeds per task, from 0."""
    out: Path = Path("docs/results/untrained.jsonl")
    """File of the rows."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    prog = "python -m benchmarks.study.untrained"
    return process.main(lambda: _untrained(parse(Untrained, argv, prog)))


def _untrained(args: Untrained) -> None:
    entries = suite.read(args.suite).entries
    rows.write(args.out, [_row(one, seed) for one in entries for seed in range(args.seeds)])


def _row(entry: Entry, seed: int) -> Row:
    words = [*entry.given(seed), "--seed", str(seed)]
    config = parse_run(Train, words, "moma train").config
    task, start = subject.task(config, RunDirectory(Path())), seeds.derive(seed, "evaluation")
    actors, count = Actors(task.spec, config.actor, seed), config.eval.final_episodes
    returns = play.evaluate(actors, task.spec, task.copies(count), start)
    mean = float(returns.mean())
    score = task.score(mean) if entry.scale is None else entry.score(mean)
    if score is None:
        raise ValueError(f"the returns of {entry.task} have no scale; the suite gives one: scale")
    return Row(
        task=entry.task,
        variant=entry.variant,
        algorithm=LABEL,
        seed=seed,
        score=score,
        returns=Returns(
            mean=mean, ci95=intervals.bootstrapped(returns.numpy(), start), episodes=count
        ),
        estimate=None,
        curve=(),
        rounds=0,
        seconds={"total": 0.0},
        settings=" ".join(entry.words),
        commit=version.named(),
        data_sha256="",
        true_evaluations_used_in_tuning=0,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
