"""The policies of a run by name: its team, and the imitations of its log."""

from __future__ import annotations

from pathlib import Path

from learner import checkpoint
from learner.clones import LOG
from moma_core.config import ActorConfig
from moma_core.nets.policy import Actors
from moma_core.runtime.run import RunDirectory
from moma_core.types import TaskSpec

TEAM, FLOOR = "team", LOG
"""What was trained, and the imitation of the whole log below which nothing should fall."""


def names(run: RunDirectory) -> list[str]:
    """Returns the policies that a run has, the team first."""
    cloned = sorted(path.name for path in run.clones.glob("*") if path.is_dir())
    return [*([TEAM] if checkpoint.newest(run.checkpoints) else []), *cloned]


def place(run: RunDirectory, name: str) -> Path:
    """Returns the directory of a run's policy.

    Raises:
        ValueError: the run has no such policy.
    """
    newest = checkpoint.newest(run.checkpoints)
    path = newest if name == TEAM else run.clones / name
    if path is None or not path.is_dir():
        what = "checkpoint" if name == TEAM else f"policy {name!r}"
        have = ", ".join(names(run)) or "none"
        raise ValueError(f"{run.path} has no {what} yet; its policies: {have}")
    return path


def load(run: RunDirectory, name: str, spec: TaskSpec, config: ActorConfig) -> Actors:
    """Reads a run's policy.

    Args:
        run: the run.
        name: of the policy.
        spec: the team.
        config: the actors'.

    Raises:
        ValueError: the run has no such policy.
    """
    actors = Actors(spec, config)
    with checkpoint.held(run.checkpoints):  # beside a run that trains the newest one may go
        actors.load(checkpoint.actors(place(run, name)))
    return actors
