"""Rollouts of real actors in any `Dynamics`. The only file here that calls `rollout`."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import torch

from moma_core import pessimism, seeds
from moma_core.config import Config
from moma_core.nets.policy import Actors
from moma_core.ports import Dynamics
from moma_core.types import History, StartStates, TaskSpec, Trajectory
from rollout_workers.rollout import Identity, rollout


class Imagination:
    """Makes one segment after the other, as a worker does, from start states of noise."""

    def __init__(self, spec: TaskSpec, config: Config, dynamics: Dynamics) -> None:
        """Builds fresh actors.

        Args:
            spec: the team.
            config: with the rows and the horizon that segments have.
            dynamics: where they are imagined.
        """
        self._settings = config.rollout
        self._penalty = partial(pessimism.penalty, config=config.pessimism)
        self._truncation = partial(pessimism.truncate, limit=math.inf, edge="clamp")
        self._actors = Actors(spec, config.actor, config.seed)
        self._dynamics, self._count = dynamics, 0
        random, rows = seeds.generator(0, "starts"), config.rollout.rows
        shape = (rows, len(spec.agents), config.actor.history, spec.frame_width)
        self._starts = StartStates(
            state=torch.randn(rows, spec.state_width, generator=random),
            history=History(
                frames=torch.randn(shape, generator=random),
                exists=torch.ones(rows, config.actor.history, dtype=torch.bool),
            ),
            age=torch.zeros(rows, dtype=torch.int64),
            seed=torch.zeros(rows, dtype=torch.int64),
        )

    def segment(self) -> Trajectory:
        """Makes the next segment; nothing is cut."""
        rows = len(self._starts.age)
        drawn = seeds.rows(0, rows, self._count * rows)
        who = Identity(
            policy_version=0,
            epoch=0,
            worker="benchmark",
            incarnation=0,
            first=self._count * rows,
        )
        self._count += 1
        return rollout(
            self._actors,
            self._dynamics,
            replace(self._starts, seed=drawn),
            self._settings,
            self._penalty,
            self._truncation,
            who,
        )
