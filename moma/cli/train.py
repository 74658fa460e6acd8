"""The main job: data, model, training, evaluation, result. `moma train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moma_core.runtime import process
from moma_core.runtime.commandline import RunCommand, parse_run
from moma_core.runtime.listening import Listening


@dataclass(frozen=True, kw_only=True)
class Train(RunCommand, Listening):
    """Trains a team from its log: data, world model, policies, evaluation, result.json."""

    in_process: bool = False
    """One process for all roles, without gRPC: the same algorithm, for reading and debugging."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _train(parse_run(Train, argv, "moma train")))


def _train(args: Train) -> int:
    args.endpoint()  # first of all: a refusal comes at once
    if args.in_process and args.config.rollout.lag:
        raise ValueError(
            "--lag means nothing to --in-process, which imagines and updates in turn; leave one out"
        )

    from moma import phases  # loads torch

    listening = Listening(listen=args.listen, advertise=args.advertise, keys=args.keys)
    with args.opened() as run:
        return phases.train(run, args.config, listening, in_process=args.in_process)
