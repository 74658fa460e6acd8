"""A run's newest checkpoint, played: `moma evaluate RUN`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moma.cli.played import Played
from moma_core.config import Config
from moma_core.runtime import process
from moma_core.runtime.commandline import parse, take_run
from moma_core.runtime.run import RunDirectory


@dataclass(frozen=True, kw_only=True)
class Evaluate(Played):
    """Plays a run's policies in its environment, or else estimates them; most likely actions."""

    episodes: int = 0
    """Episodes to play; 0: as many as the run's config says."""
    seed: int | None = None
    """Seed of the start states; default: the run's own evaluation's."""
    policy: str = "team"
    """Policy to play: the team, or an imitation of the log (bc) or of its best (bc-best)."""
    data: Path | None = None
    """Directory of the run's log, where it has moved; estimates need it."""
    sampled: bool = False
    """Actions drawn from the policies, which shows chance in what agents agree on by likelihood."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _evaluate(argv))


def _evaluate(argv: Sequence[str]) -> None:
    path, rest = take_run(argv, "moma evaluate")
    args = parse(Evaluate, rest, "moma evaluate RUN")
    run = RunDirectory.open(path)
    config = args.config(run)
    if args.data is not None:
        config = replace(config, data=replace(config.data, path=str(args.data)))
    from moma.evaluation import policies  # loads torch
    from moma.evaluation.evaluate import evaluate
    from moma.reports import result
    from moma_core.runtime import subject

    process.compute_on(config.threads)
    episodes = args.episodes or config.eval.final_episodes
    place = policies.place(run, args.policy)
    score = evaluate(run, config, episodes, args.seed, policy=args.policy, sampled=args.sampled)
    if score is not None:
        words = result.measured(score)
    elif args.episodes or args.sampled or args.seed is not None:
        raise ValueError(
            "--episodes, --seed and --sampled are for an environment, and this run has none; "
            f"{subject.kept(run).advice}"
        )
    elif config.imagines:
        words = _estimated(run, config)
    else:
        raise ValueError(
            "no environment and no model, so nothing is known of the return; "
            f"{subject.kept(run).advice}"
        )
    sys.stdout.write(f"{run.name}, policy {args.policy} ({place.name}): {words}\n")


def _estimated(run: RunDirectory, config: Config) -> str:
    """Estimates a run's policies by its model and its log, and says what came of it."""
    from moma.evaluation import estimates
    from moma.reports import result
    from moma_core.datasets import DatasetError
    from moma_core.runtime import subject

    try:
        return result.believed(estimates.estimate(run, config))
    except DatasetError as error:
        raise ValueError(
            f"nothing was played or estimated: {error}; {subject.kept(run).advice}"
            f"{result.remembered(run)}"
        ) from error
