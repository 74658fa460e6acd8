"""What the worlds have in common: a PettingZoo `ParallelEnv` whose agents share one reward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Float
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

Move = Box | Discrete
Views = dict[str, NDArray[np.float32]]
Stepped = tuple[
    Views, dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]
]


class Team(ParallelEnv):  # type: ignore[misc]  # PettingZoo has no types
    """Agents that begin together, are paid together and end together.

    A world says how it begins, what each agent sees of it and how it goes on; the rest is here.

    Attributes:
        rng: where all of a world's chance comes from; made anew by `reset`.
        t: the number of steps done since `reset`.
    """

    def __init__(
        self, name: str, views: Mapping[str, int], moves: Mapping[str, Move], limit: int
    ) -> None:
        """Makes a world that has to be reset first.

        Args:
            name: of the world.
            views: width of what each agent observes.
            moves: how each agent acts, in the order of the agents.
            limit: steps after which an episode is truncated.
        """
        self.metadata = {"name": name}
        self.possible_agents, self.agents = list(moves), list[str]()
        self.limit, self.t, self.rng = limit, 0, np.random.default_rng()
        self._views = {agent: Box(-np.inf, np.inf, (views[agent],)) for agent in moves}
        self._moves = dict(moves)

    def begin(self) -> None:
        """Draws the first state from `rng`."""
        raise NotImplementedError

    def advance(self, a: Float[np.ndarray, " W"]) -> tuple[float, bool]:
        """Goes on by one step; `t` is still the number of the step.

        Args:
            a: the actions within their bounds, one agent's after the other's; choices from 0.

        Returns:
            The team's reward, and whether the task itself ended the episode.
        """
        raise NotImplementedError

    def view(self) -> dict[str, Any]:
        """Returns what each agent sees, in full precision."""
        raise NotImplementedError

    def observation_space(self, agent: str) -> Box:
        """Returns the space of what an agent sees."""
        return self._views[agent]

    def action_space(self, agent: str) -> Move:
        """Returns the space that an agent acts in."""
        return self._moves[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Views, dict[str, dict[str, Any]]]:
        """Begins an episode."""
        del options
        self.rng, self.t, self.agents = np.random.default_rng(seed), 0, list(self.possible_agents)
        self.begin()
        return self.seen(), {agent: {} for agent in self.agents}

    def step(self, actions: Mapping[str, Any]) -> Stepped:
        """Goes on by one step."""
        acting = self.agents
        reward, terminated = self.advance(self.joint(actions))
        self.t += 1
        truncated = self.t >= self.limit and not terminated
        if terminated or truncated:
            self.agents = []
        return (
            self.seen(),
            dict.fromkeys(acting, reward),
            dict.fromkeys(acting, terminated),
            dict.fromkeys(acting, truncated),
            {agent: {} for agent in acting},
        )

    def joint(self, actions: Mapping[str, Any]) -> Float[np.ndarray, " W"]:
        """Returns the actions side by side, within their bounds."""
        return np.concatenate([within(self._moves[a], own) for a, own in actions.items()])

    def seen(self) -> Views:
        """Returns what each agent sees, as its space wants it."""
        return {agent: np.array(own, np.float32) for agent, own in self.view().items()}


def within(move: Move, action: Any) -> Float[np.ndarray, " W"]:  # noqa: ANN401 - any action
    """Returns an action as numbers side by side, clipped to its bounds."""
    flat = np.asarray(action, np.float64).reshape(-1)
    return flat if isinstance(move, Discrete) else np.clip(flat, move.low, move.high)


def box(low: float, high: float, width: int = 1) -> Box:
    """Returns the space of an action with the same bounds in every dimension."""
    return Box(low, high, (width,))
