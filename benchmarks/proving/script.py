"""Scripted players, which see what a team sees and no more, and the episodes that they play."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Float32, Float64
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.proving.team import Team, within

Act = Callable[[str, NDArray[np.float64]], Any]
"""From an agent and what it sees to its action; it may go beyond the bounds and is clipped."""
Player = Callable[[Generator], Act]
"""Plays all agents for one episode; what they remember and draw begins anew with each."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Who plays an episode, and for how long."""

    player: Player
    cut: int | None = None
    """Steps after which the log breaks off; None: it goes on to the episode's end."""


Casting = Callable[[Generator, int], Part]
"""Draws who plays an episode of a log, given its number from 0."""


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One episode of T steps. An agent that has left sees zeros, and does 0."""

    seen: dict[str, Float32[np.ndarray, "T+1 O"]]
    done: dict[str, Float32[np.ndarray, "T U"]]
    """Each agent's action, or the number of its choice."""
    reward: Float64[np.ndarray, " T"]
    """The team's: the mean over all agents, 0 for those that have left."""
    terminated: bool


def play(env: Team, part: Part, seed: int) -> Episode:
    """Plays one episode.

    Args:
        env: the world.
        part: who plays it.
        seed: of the world's chance and of the players'.
    """
    views, _ = env.reset(seed=seed)
    act, agents = part.player(np.random.default_rng([seed, 7])), env.possible_agents
    seen, done, rewards, ended = [views], [], [], [False]
    while env.agents and env.t != part.cut:
        own = env.view()
        actions = {
            agent: within(env.action_space(agent), act(agent, np.asarray(own[agent])))
            for agent in env.agents
        }
        views, reward, terminated, _, _ = env.step(actions)
        seen.append(views)
        done.append(actions)
        rewards.append(sum(reward.values()) / len(agents))
        ended = list(terminated.values())
    return Episode(
        seen={a: _rows(seen, a, env.observation_space(a).shape) for a in agents},
        done={a: _rows(done, a, width(env, a)) for a in agents},
        reward=np.array(rewards),
        terminated=all(ended),
    )


def width(env: Team, agent: str) -> tuple[int]:
    """Returns the numbers that an agent's action is in a log."""
    move = env.action_space(agent)
    return (1,) if isinstance(move, Discrete) else (int(np.prod(move.shape)),)


def _rows(steps: list[Any], agent: str, shape: tuple[int, ...]) -> Float32[np.ndarray, "T W"]:
    gone = np.zeros(shape)
    return np.array([step.get(agent, gone) for step in steps], np.float32)


def mixture(*parts: tuple[float, Player]) -> Casting:
    """Returns a casting that draws among players by their shares."""
    shares, players = [share for share, _ in parts], [player for _, player in parts]
    return lambda rng, _: Part(player=players[int(rng.choice(len(players), p=shares))])


def noisy(player: Player, spread: float) -> Player:
    """Returns the player with Gaussian noise on every dimension of its actions."""

    def begun(rng: Generator) -> Act:
        act = player(rng)

        def noised(agent: str, own: NDArray[np.float64]) -> Any:  # noqa: ANN401 - any action
            action = np.asarray(act(agent, own), np.float64)
            return action + spread * rng.standard_normal(action.shape)

        return noised

    return begun


def slipping(player: Player, share: float, choices: int) -> Player:
    """Returns the player with a share of its choices drawn at random."""

    def begun(rng: Generator) -> Act:
        act = player(rng)

        def slipped(agent: str, own: NDArray[np.float64]) -> int:
            choice = int(act(agent, own))
            return int(rng.integers(choices)) if rng.random() < share else choice

        return slipped

    return begun


def plain(rule: Callable[[str, NDArray[np.float64]], Any]) -> Player:
    """Returns a player that neither remembers nor draws anything."""
    return lambda _: rule


def scattered(low: float, high: float, width: int = 1) -> Player:
    """Returns a player that draws every action between two bounds."""
    return lambda rng: lambda *_: rng.uniform(low, high, width)


def choosing(choices: int) -> Player:
    """Returns a player that chooses at random."""
    return lambda rng: lambda *_: int(rng.integers(choices))
