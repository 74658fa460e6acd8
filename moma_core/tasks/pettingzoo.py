"""Any PettingZoo `ParallelEnv` as the environment of a team, for evaluation: `--env`.

PettingZoo itself is not imported: what has the methods of a `ParallelEnv` will do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, flatdim, flatten
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from moma_core import seeds
from moma_core.types import TaskSpec

_METHODS = ("possible_agents", "observation_space", "action_space", "reset", "step")


class PettingZoo:
    """B copies of a `ParallelEnv`.

    An agent's observation is written to the features of the joint state that it observes. Features
    that nobody observes stay 0, which does no harm: actors see observations and nothing else.
    """

    def __init__(self, make: Callable[[], Any], spec: TaskSpec, count: int) -> None:
        """Makes the copies.

        Args:
            make: makes one environment; it is called without arguments.
            spec: the team that the environment has to be for.
            count: B.

        Raises:
            ValueError: naming what differs from the team.
        """
        self._spec, self._place = spec, {agent: i for i, agent in enumerate(spec.agents)}
        self._envs = [make() for _ in range(count)]
        _check(self._envs[0], spec)
        self._over = [True] * count

    def reset(self, seed: int) -> Float32[Tensor, "B S"]:
        """Starts one episode in every copy."""
        self._state = torch.zeros(len(self._envs), self._spec.state_width)
        for copy, env in enumerate(self._envs):
            seen, _ = env.reset(seed=seeds.derive(seed, "reset", copy) % (1 << 31))
            self._over[copy] = False
            self._state[copy] = self._joint(env, seen)
        return self._state.clone()

    def step(
        self, action: Float32[Tensor, "B A U"]
    ) -> tuple[Float32[Tensor, "B S"], Float32[Tensor, " B"], Bool[Tensor, " B"]]:
        """Steps every copy that has not ended; the team's reward is the mean over all agents.

        A copy has ended when every agent has, by termination or truncation.
        """
        reward = torch.zeros(len(self._envs))
        for copy, env in enumerate(self._envs):
            if not self._over[copy]:
                reward[copy] = self._step(copy, env, action[copy])
        return self._state.clone(), reward, torch.tensor(self._over)

    @property
    def draws(self) -> bool:
        """Says whether the factory made its environments with `render_mode="rgb_array"`."""
        return getattr(self._envs[0], "render_mode", None) == "rgb_array"

    def frame(self) -> UInt8[np.ndarray, "height width 3"]:
        """Draws the first copy."""
        return np.asarray(self._envs[0].render(), np.uint8)

    def _step(self, copy: int, env: Any, action: Float32[Tensor, "A U"]) -> float:  # noqa: ANN401
        acting = list(env.agents)
        actions = {
            agent: _own(env.action_space(agent), action[self._place[agent]]) for agent in acting
        }
        seen, rewards, terminated, truncated, _ = env.step(actions)
        self._state[copy] = self._joint(env, seen)
        self._over[copy] = all(terminated[agent] or truncated[agent] for agent in acting)
        return sum(float(rewards[agent]) for agent in acting) / len(self._spec.agents)

    def _joint(self, env: Any, seen: Mapping[str, Any]) -> Float32[Tensor, " S"]:  # noqa: ANN401
        """Joins observations, less their offset; an agent that has left observes zeros."""
        state = torch.zeros(self._spec.state_width)
        for agent, index in zip(self._spec.agents, self._spec.observation_index, strict=True):
            if agent in seen:
                flat = flatten(env.observation_space(agent), seen[agent])
                near = np.asarray(flat, np.float64) - self._spec.offset[list(index)]
                state[list(index)] = torch.from_numpy(near.astype(np.float32))
        return state


def _own(space: Box | Discrete, action: Float32[Tensor, " U"]) -> Any:  # noqa: ANN401 - theirs
    """Returns an agent's action without its padding, as its space wants it."""
    own = action[: flatdim(space)].numpy()
    if isinstance(space, Discrete):
        return int(space.start + own.argmax())
    if np.issubdtype(space.dtype, np.integer):
        own = np.rint(own)
    return np.clip(own.reshape(space.shape), space.low, space.high).astype(space.dtype)


def _check(env: Any, spec: TaskSpec) -> None:  # noqa: ANN401 - any environment
    missing = [name for name in _METHODS if not hasattr(env, name)]
    if missing or hasattr(env, "agent_iter"):
        why = f"it has no {missing[0]}" if missing else "its agents act in turns"
        raise ValueError(f"the environment {env} is no PettingZoo ParallelEnv: {why}")
    if tuple(env.possible_agents) != spec.agents:
        raise ValueError(
            f"the environment's agents are {', '.join(env.possible_agents)}; those of task "
            f"{spec.name} are {', '.join(spec.agents)}"
        )
    for agent, index, low, chooses in zip(
        spec.agents, spec.observation_index, spec.action_low, spec.discrete, strict=True
    ):
        space, kind = env.action_space(agent), Discrete if chooses else Box
        if not isinstance(space, kind):
            raise ValueError(  # noqa: TRY004 - input
                f"the environment's {agent} acts in {space}; task {spec.name} needs {kind.__name__}"
            )
        for what, got, need in (
            ("observes", flatdim(env.observation_space(agent)), len(index)),
            ("acts by", flatdim(space), len(low)),
        ):
            if got != need:
                raise ValueError(
                    f"the environment's {agent} {what} {got} values; in task {spec.name}, {need}"
                )
