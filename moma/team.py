"""A team that acts step by step: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from moma_core.nets.history import Ring
from moma_core.nets.policy import Actors
from moma_core.tasks import Task
from moma_core.types import History


class Team:
    """All agents' policies, each with its own observations and its own memory.

    Args:
        actors: the policies.
        task: the task, with its environment where it has one.
    """

    def __init__(self, actors: Actors, task: Task) -> None:
        self.actors, self.task, self.spec = actors, task, task.spec
        self.reset()

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents."""
        return self.spec.agents

    def reset(self) -> None:
        """Forgets the episode: to be called at the start of each."""
        spec, frames = self.spec, self.actors.config.history
        self._past = Ring(History.none(1, len(spec.agents), frames, spec.frame_width))

    def act(self, observations: Mapping[str, Any]) -> dict[str, NDArray[np.float32] | int]:
        """Returns the most likely action of every agent that observes something.

        Args:
            observations: what each agent sees, in the log's units, by its name: an array `[O]`. An
                agent that has left the episode is left out.

        Returns:
            By agent an array `[U]` within the log's bounds, or the number of its choice.

        Raises:
            ValueError: an agent that is not in the team, or an observation of another shape, or one
                that is not finite.
        """
        seen = self.actors.observed(self._joint(observations))
        with torch.no_grad():
            action = self.spec.clamp(self.actors(seen, self._past.window).mode())
        self._past.push(seen, action)
        return {name: self._own(name, action) for name in observations}

    def _own(self, name: str, action: Float32[Tensor, "1 A U"]) -> NDArray[np.float32] | int:
        """Returns an agent's action as its environment takes it."""
        agent = self.spec.agents.index(name)
        own = action[0, agent, : len(self.spec.action_low[agent])].numpy().copy()
        return int(own.argmax()) if self.spec.discrete[agent] else own

    def _joint(self, observations: Mapping[str, Any]) -> Float32[Tensor, "1 A O"]:
        """Returns all observations, padded, less what the log took off."""
        spec = self.spec
        if unknown := sorted(set(observations) - set(spec.agents)):
            raise ValueError(f"the team has no agent {unknown[0]!r}: {', '.join(spec.agents)}")
        joint = torch.zeros(1, len(spec.agents), spec.observation_width)
        for agent, (name, index) in enumerate(
            zip(spec.agents, spec.observation_index, strict=True)
        ):
            if name not in observations:
                continue
            own = np.asarray(observations[name], np.float64)
            if own.shape != (len(index),) or not np.isfinite(own).all():
                raise ValueError(
                    f"{name} observes {len(index)} finite values "
                    f"({', '.join(spec.state_names[i] for i in index)}), got {own}"
                )
            joint[0, agent, : len(index)] = torch.from_numpy(own - spec.offset[list(index)])
        return joint
