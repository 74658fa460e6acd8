"""A world of the proving ground: an environment, a log of it, and what the best team earns."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete

from benchmarks.proving.script import Casting, Episode, Part, Player, play
from benchmarks.proving.team import Team
from moma.log_tools.importing import Imported, convert, open_log


@dataclass(frozen=True, kw_only=True)
class World:
    """An environment, who played the log of it, and the best that a team can earn there."""

    name: str
    sentence: str
    """Fault that the world catches."""
    make: Callable[[], Team]
    """Factory of the environment, a function of a module: see `env`."""
    casting: Casting
    """Draw of who plays an episode of the log."""
    episodes: int
    """Episodes of the log."""
    optimum: float
    """Best known expected return of a team whose agents see what they see, and remember it."""
    known: str
    """How the optimum is known: by which analysis, or as the return of which scripted players."""
    best: Player
    """Players that reach the optimum."""
    convention: bool
    """Log that holds an optimal convention: some of its play is the best but for noise."""

    @property
    def env(self) -> str:
        """The factory's place, as `--env` takes it."""
        return f"{self.make.__module__}:{self.make.__name__}"

    def log(self, seed: int) -> Iterator[Episode]:
        """Plays the log, the same for the same seed."""
        env, rng = self.make(), np.random.default_rng(seed + 1)
        for episode in range(self.episodes):
            yield play(env, self.casting(rng, episode), 1000 * seed + episode)

    def best_play(self, episodes: int, seed: int) -> Iterator[Episode]:
        """Plays the best players."""
        env, part = self.make(), Part(player=self.best)
        for episode in range(episodes):
            yield play(env, part, 1000 * seed + episode)


def write(world: World, path: Path, seed: int) -> Imported:
    """Writes the log as a dataset, as a user would: `moma data import LOG.npz --out PATH`.

    Args:
        world: whose log it is.
        path: the dataset's directory.
        seed: of the log.

    Raises:
        ImportDataError: the importer does not know what the agents are.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as directory:
        file = Path(directory) / f"{world.name}.npz"
        save(world, file, seed)
        log = open_log(file, "npz")
        return convert(log, path, task=None, time_limit=None, tell=lambda *_: None)


def save(world: World, file: Path, seed: int) -> None:
    """Writes the log as an npz in the layout that the importer documents for one's own logs.

    Args:
        world: whose log it is.
        file: the npz.
        seed: of the log.
    """
    env, log = world.make(), list(world.log(seed))
    arrays: dict[str, Any] = {
        "reward": np.concatenate([e.reward for e in log]).astype(np.float32),
        "terminated": np.concatenate(
            [np.arange(len(e.reward)) == len(e.reward) - e.terminated for e in log]
        ),
        "episode_length": np.array([len(e.reward) for e in log]),
        "meta": np.array(json.dumps({"agents": [_meta(env, a) for a in env.possible_agents]})),
    }
    for agent in env.possible_agents:
        done = np.concatenate([e.done[agent] for e in log])
        kind = np.int64 if isinstance(env.action_space(agent), Discrete) else np.float32
        arrays[f"act/{agent}"] = done.astype(kind)
        arrays[f"obs/{agent}"] = np.concatenate([e.seen[agent] for e in log])
    np.savez(file, **arrays)


def _meta(env: Team, agent: str) -> dict[str, object]:
    move = env.action_space(agent)
    if isinstance(move, Discrete):
        return {"name": agent, "choices": int(move.n)}
    low, high = (bound.reshape(-1).tolist() for bound in (move.low, move.high))
    return {"name": agent, "action_low": low, "action_high": high, "choices": 0}
