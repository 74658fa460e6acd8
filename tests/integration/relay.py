"""A PettingZoo team of one agent that chooses and two that act continuously, and a log of it."""

from __future__ import annotations

import json

import numpy as np
from gymnasium.spaces import Box, Discrete

HERE = "tests.integration.relay"
AGENTS = ("gate", "arm", "foot")
LIMIT = 6
ACTED = {
    "gate": Discrete(3),
    "arm": Box(np.float32([-1, -1]), np.float32([1, 1])),
    "foot": Box(np.float32([-2]), np.float32([0.5])),
}
_SEEN = {"gate": (0,), "arm": (0, 1, 2), "foot": (0, 3)}
"""Features of (goal, x, y, z) that each agent observes."""


class Relay:
    """The gate names the goal, one of -1, 0, 1; arm and foot go to where it is."""

    def __init__(self):
        self.possible_agents = list(AGENTS)

    def observation_space(self, agent):
        return Box(-np.inf, np.inf, (len(_SEEN[agent]),), np.float32)

    def action_space(self, agent):
        return ACTED[agent]

    def reset(self, seed):
        self.agents, self.time = list(AGENTS), 0
        random = np.random.default_rng(seed)
        self.state = np.float32([random.integers(3) - 1, *random.uniform(-1, 1, 3)])
        return self._seen(), {}

    def step(self, actions):
        assert {agent: ACTED[agent].contains(actions[agent]) for agent in AGENTS} == dict.fromkeys(
            AGENTS, True
        ), actions
        goal = self.state[0]
        self.state[1:] += 0.3 * np.concatenate([actions["arm"], actions["foot"]])
        self.time += 1
        paid = float(actions["gate"] - 1 == goal) - 0.3 * float(
            np.abs(self.state[1:] - goal).mean()
        )
        over = self.time == LIMIT
        self.agents = [] if over else self.agents
        ends = dict.fromkeys(AGENTS, over)
        return self._seen(), dict.fromkeys(AGENTS, paid), dict.fromkeys(AGENTS, False), ends, {}

    def _seen(self):
        return {agent: self.state[list(index)] for agent, index in _SEEN.items()}


def write_log(path, episodes=40):
    """Writes a log of random play in the canonical npz layout, as `docs/data.md` says it."""
    env, arrays = Relay(), {f"{kind}/{agent}": [] for kind in ("obs", "act") for agent in AGENTS}
    reward = []
    for space in ACTED.values():
        space.seed(1)
    for episode in range(episodes):
        seen, _ = env.reset(seed=episode)
        while env.agents:
            actions = {agent: ACTED[agent].sample() for agent in AGENTS}
            for agent in AGENTS:
                arrays[f"obs/{agent}"].append(seen[agent])
                arrays[f"act/{agent}"].append(actions[agent])
            seen, paid, *_ = env.step(actions)
            reward.append(paid["gate"])
        for agent in AGENTS:
            arrays[f"obs/{agent}"].append(seen[agent])
    said = [{"name": "gate", "choices": 3}]
    for agent in ("arm", "foot"):
        low, high = (side.tolist() for side in (ACTED[agent].low, ACTED[agent].high))
        said.append({"name": agent, "action_low": low, "action_high": high})
    np.savez(
        path,
        **{name: np.stack(rows) for name, rows in arrays.items()},
        reward=np.float32(reward),
        terminated=np.zeros(len(reward), np.bool_),
        episode_length=np.full(episodes, LIMIT),
        meta=json.dumps({"agents": said}),
    )
    return path
