"""A run's newest checkpoint, played: `moma evaluate RUN`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from moma_core.runtime import process
from moma_core.runtime.commandline import parse, take_run
from moma_core.runtime.run import RunDirectory


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Plays a run's policies in its environment, or else estimates them; most likely actions."""

    episodes: int = 0
    """Episodes to play; 0: as many as the run's config says."""
    seed: int | None = None
    """Seed of the start states; default: the run's own evaluation's."""
    policy: str = "team"
    """Policy to play: the team, or an imitation of the log (bc) or of its best (bc-best)."""
    env: str = ""
    """Environment to play in: package.module:factory of a ParallelEnv; default: the task's own."""
    sampled: bool = False
    """Actions drawn from the policies, which shows chance in what agents agree on by likelihood."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _evaluate(argv))


def _evaluate(argv: Sequence[str]) -> None:
    path, rest = take_run(argv, "moma evaluate")
    args = parse(Evaluate, rest, "moma evaluate RUN")
    run = RunDirectory.open(path)
    config = run.config()
    config = replace(config, eval=replace(config.eval, env=args.env))
    from moma.evaluation import estimates, policies  # loads torch
    from moma.evaluation.evaluate import evaluate
    from moma.reports import result

    process.compute_on(config.threads)
    episodes = args.episodes or config.eval.final_episodes
    place = policies.place(run, args.policy)
    score = evaluate(run, config, episodes, args.seed, policy=args.policy, sampled=args.sampled)
    if score is not None:
        words = result.measured(score)
    elif args.episodes or args.sampled or args.seed is not None:
        raise ValueError(
            "--episodes, --seed and --sampled are for an environment, and this run has none: --env"
        )
    elif config.imagines:
        words = result.believed(estimates.estimate(run, config))
    else:
        words = "no environment and no model, so nothing is known of the return: --env"
    sys.stdout.write(f"{run.name}, policy {args.policy} ({place.name}): {words}\n")
