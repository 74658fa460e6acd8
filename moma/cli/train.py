"""The main job: data, model, training, evaluation, result. `moma train`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from moma.engines.deployment import Deployment
from moma_core.runtime import process
from moma_core.runtime.commandline import RunCommand, parse_run
from moma_core.runtime.listening import Listening


@dataclass(frozen=True, kw_only=True)
class Train(RunCommand, Listening, Deployment):
    """Trains a team from its log: data, world model, policies, evaluation, result.json."""

    in_process: bool = False
    """One process for all roles, without gRPC: the same algorithm, for reading and debugging."""

    def check(self) -> None:
        """Refuses flags of where the roles run that do not fit the run's settings.

        Raises:
            ValueError: the text names both.
        """
        config = self.config
        if self.in_process:
            self._refuse_several()
        if self.nodes == 1:
            return
        if not config.imagines:
            raise ValueError(
                f"--nodes {self.nodes} means nothing to --algorithm {config.algorithm}, which has "
                "no workers"
            )
        if self.placement == "near" and config.dynamics == "simulator":
            raise ValueError(
                "--model simulator is served by the first node alone: add --placement central"
            )
        if config.workers < self.nodes:
            raise ValueError(
                f"--workers {config.workers} is less than one for each of --nodes {self.nodes}"
            )
        if self.placement == "near" and 0 < config.model_servers < self.nodes:
            raise ValueError(
                f"--model-servers {config.model_servers} is less than one for each of --nodes "
                f"{self.nodes}; name more, or --placement central"
            )

    def _refuse_several(self) -> None:
        """Refuses what one process cannot be.

        Raises:
            ValueError: the text names it.
        """
        if self.config.rollout.lag:
            raise ValueError(
                "--lag means nothing to --in-process, which imagines and updates in turn; leave "
                "one out"
            )
        flag = f"--engine {self.engine}" if self.engine != "local" else "--dry-run"
        if self.config.learners > 1:
            flag = f"--learners {self.config.learners}"
        if self.config.learners > 1 or self.engine != "local" or self.dry_run:
            raise ValueError(f"--in-process is one process; leave out {flag}")


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _train(parse_run(Train, argv, "moma train")))


def _train(args: Train) -> int:
    args.endpoint()  # first of all: a refusal comes at once
    args.check()
    listening = Listening(listen=args.listen, advertise=args.advertise, keys=args.keys)
    deployment = args.only()
    from moma.engines import launch

    stopping = process.begin()
    with args.opened() as run:
        if deployment.dry_run or launch.queued(deployment):
            run.write_config(args.config)
            sys.stdout.write(launch.prepare(run, args.config, listening, deployment))
            return 0
        from moma import phases  # loads torch

        where = None if args.in_process else deployment
        return phases.train(run, args.config, stopping.is_set, listening, where)
