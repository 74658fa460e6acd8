"""Worlds with chance in them: an average of what may come next is something that never comes."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from benchmarks.proving.script import choosing, mixture, plain, slipping
from benchmarks.proving.team import Team
from benchmarks.proving.world import World


class Coin(Team):
    """A coin is thrown before each step; all must choose what it shows."""

    def __init__(self) -> None:
        agents = ("first", "second", "third")
        super().__init__("coin", dict.fromkeys(agents, 1), dict.fromkeys(agents, Discrete(2)), 4)

    def begin(self) -> None:
        """Throws the coin."""
        self.bit = int(self.rng.integers(2))

    def view(self) -> dict[str, list[float]]:
        """Shows the coin to all."""
        return {a: [float(self.bit)] for a in self.possible_agents}

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays 1 where all follow the coin, and throws it anew."""
        paid = float((a == self.bit).all())
        self.begin()
        return paid, False


def coin() -> Coin:
    """Makes the coin."""
    return Coin()


_FOLLOW = plain(lambda _, own: int(own[0]))

WORLDS = (
    World(
        name="coin",
        sentence="a coin that all must follow: averaged it is 0.5, which no log holds; four "
        "steps an episode, whatever horizon is imagined",
        make=coin,
        casting=mixture((0.85, slipping(_FOLLOW, 0.03, 2)), (0.15, choosing(2))),
        episodes=300,
        optimum=4.0,
        known="analysis: 1 in each of four steps",
        best=_FOLLOW,
        convention=True,
    ),
)
