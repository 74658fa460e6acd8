"""The final checkpoint in the true system, with an interval: `moma evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from learner import checkpoint
from moma import evaluation, process, seeds, tasks
from moma.commandline import parse
from moma.config import Config
from moma.policy import Actors
from moma.run import RunDirectory

_RESAMPLES = 10_000


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a policy is worth in the true system."""

    score: float
    return_mean: float
    return_ci95: tuple[float, float]
    """Percentile bootstrap over episodes."""
    episodes: int
    checkpoint: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Plays a run's newest checkpoint in the true system, deterministic actions."""

    episodes: int = 0
    """0: as many as the run's config says."""
    seed: int | None = None
    """Of the start states; default: the run's own evaluation."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _evaluate(argv))


def _evaluate(argv: Sequence[str]) -> None:
    path, rest = run_argument(argv, "moma evaluate")
    args = parse(Evaluate, rest, "moma evaluate RUN")
    run = RunDirectory.open(path)
    config = run.config()
    found = evaluate(run, config, args.episodes or config.eval.final_episodes, args.seed)
    low, high = found.return_ci95
    sys.stdout.write(
        f"{run.name} at checkpoint {found.checkpoint}: score {found.score:.3f}, return "
        f"{found.return_mean:.3f} (95 % interval {low:.3f} to {high:.3f}), "
        f"{found.episodes} episodes of {config.task}; {found.note}\n"
    )


def run_argument(argv: Sequence[str], prog: str) -> tuple[Path, list[str]]:
    """Takes RUN from the command line.

    Raises:
        ValueError: it is missing.
    """
    words = list(argv)
    if {"-h", "--help"} & set(words):
        return Path(), words
    if not words or words[0].startswith("-"):
        raise ValueError(f"which run? {prog} RUN, a run's directory")
    return Path(words[0]), words[1:]


def evaluate(run: RunDirectory, config: Config, episodes: int, seed: int | None = None) -> Score:
    """Plays the newest whole checkpoint.

    Raises:
        ValueError: the run has none.
    """
    newest = checkpoint.newest(run.checkpoints)
    if newest is None:
        raise ValueError(f"{run.path} has no checkpoint yet")
    task = tasks.get(config.task)
    actors = Actors(task.spec, config.actor)
    actors.load(checkpoint.actors(newest))
    start = seeds.derive(config.seed if seed is None else seed, "evaluation")
    returns = evaluation.evaluate(actors, task.spec, task.environment(episodes), start).numpy()
    random = np.random.default_rng(start)
    means = random.choice(returns, (_RESAMPLES, episodes)).mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    mean = float(returns.mean())
    return Score(
        score=task.score(mean),
        return_mean=mean,
        return_ci95=(float(low), float(high)),
        episodes=episodes,
        checkpoint=newest.name,
        note=task.note,
    )
