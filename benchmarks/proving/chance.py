"""Worlds with chance in them: an average of what may come next is something that never comes."""

from __future__ import annotations

from math import erf, exp, pi, sqrt

import numpy as np
from gymnasium.spaces import Discrete
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.proving.script import (
    Act,
    choosing,
    mixture,
    noisy,
    plain,
    scattered,
    slipping,
)
from benchmarks.proving.team import Team, box
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


class Wind(Team):
    """Two tugs push a barge along a quay in gusts; it pays to be near the edge, not beyond it."""

    GUST, FALL = 0.15, 5.0

    def __init__(self) -> None:
        moves = dict.fromkeys(("bow", "stern"), box(-1, 1))
        super().__init__("wind", dict.fromkeys(moves, 2), moves, 15)

    def begin(self) -> None:
        """Draws where the barge is."""
        self.x = self.rng.uniform(-0.5, 0.5)

    def view(self) -> dict[str, list[float]]:
        """Shows the barge and the clock to both."""
        return {a: [self.x, self.t / self.limit] for a in self.possible_agents}

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays the distance along the quay; beyond its edge, at 1, all is over and costs."""
        self.x += a.sum() + self.GUST * self.rng.standard_normal()
        over = bool(self.x >= 1)
        return -self.FALL if over else float(self.x), over


def _plan() -> tuple[float, list[float]]:
    """The wind's optimum and where to aim at in each step, by dynamic programming.

    From anywhere on the quay the tugs reach any aim in one step, so that the value of going on is
    one number a step. For an aim u, with z = (1 - u) / GUST, the barge stays on the quay with
    probability Phi(z) and is then at u Phi(z) - GUST phi(z) in the mean (truncated Gaussian).
    """
    value, aims = 0.0, list[float]()
    for _ in range(15):
        best = (-np.inf, 0.0)
        for u in np.linspace(0, 1, 1001):
            z = (1 - u) / Wind.GUST
            stays, density = (1 + erf(z / sqrt(2))) / 2, exp(-z * z / 2) / sqrt(2 * pi)
            paid = u * stays - Wind.GUST * density + stays * value - (1 - stays) * Wind.FALL
            best = max(best, (float(paid), float(u)))
        value, aims = best[0], [best[1], *aims]
    return value, aims


class Slot(Team):
    """A slot opens at random; both must go at once while it is open."""

    OPENS = 0.2

    def __init__(self) -> None:
        agents = ("pilot", "loader")
        super().__init__("slot", dict.fromkeys(agents, 2), dict.fromkeys(agents, Discrete(2)), 12)

    def begin(self) -> None:
        """Draws whether the slot is open."""
        self.open = bool(self.rng.random() < self.OPENS)

    def view(self) -> dict[str, list[float]]:
        """Shows the slot and the clock to both."""
        return {a: [float(self.open), self.t / self.limit] for a in self.possible_agents}

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays 10 for going through, which ends it; waiting costs 0.1, anything else 1."""
        through = self.open and bool(a.all())
        self.begin()
        return (10.0 if through else -1.0 if a.any() else -0.1), through


class Fork(Team):
    """A ball bounces left or right in every step; each of two nets must be where it comes down."""

    BOUNCE = 0.5

    def __init__(self) -> None:
        moves = dict.fromkeys(("near", "far"), box(-1, 1))
        super().__init__("fork", dict.fromkeys(moves, 2), moves, 8)

    def begin(self) -> None:
        """Puts the nets in the middle and draws where the ball comes down first."""
        self.net, self.ball = np.zeros(2), self.rng.uniform(-0.2, 0.2)

    def view(self) -> dict[str, list[float]]:
        """Shows each net itself and the ball."""
        return {a: [self.net[i], self.ball] for i, a in enumerate(self.possible_agents)}

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays for both nets under the ball, which then bounces to one of two places."""
        self.net = self.net + self.BOUNCE * a
        paid = float(np.prod(np.exp(-(((self.net - self.ball) / 0.3) ** 2))))
        self.ball += self.BOUNCE * self.rng.choice((-1, 1))
        return paid, False


def coin() -> Coin:
    """Makes the coin."""
    return Coin()


def wind() -> Wind:
    """Makes the wind."""
    return Wind()


def slot() -> Slot:
    """Makes the slot."""
    return Slot()


def fork() -> Fork:
    """Makes the fork."""
    return Fork()


_WIND, _AIMS = _plan()
_follow = plain(lambda _, own: int(own[0]))
_aiming = plain(lambda _, own: (_AIMS[round(15 * own[1])] - own[0]) / 2)
_under = plain(lambda _, own: (own[1] - own[0]) / Fork.BOUNCE)


def _stubborn(rng: Generator) -> Act:
    """Aims at one place for the whole episode."""
    aim = rng.uniform(0.1, 0.95)
    return lambda _, own: (aim - own[0]) / 2


def _impatient(rng: Generator) -> Act:
    return lambda *_: int(rng.random() < 0.4)


_SHUT = 1 - Slot.OPENS
WORLDS = (
    World(
        name="coin",
        sentence="a coin that all must follow: averaged it is 0.5, which no log holds; four "
        "steps an episode, whatever horizon is imagined",
        make=coin,
        casting=mixture((0.85, slipping(_follow, 0.03, 2)), (0.15, choosing(2))),
        episodes=300,
        optimum=4.0,
        known="analysis: 1 in each of four steps",
        best=_follow,
        convention=True,
    ),
    World(
        name="wind",
        sentence="gusts by an edge: who plans with the mean goes where every second gust is fatal",
        make=wind,
        casting=mixture((0.3, noisy(_aiming, 0.02)), (0.7, noisy(_stubborn, 0.05))),
        episodes=300,
        optimum=_WIND,
        known="dynamic programming over where to aim at in each step",
        best=_aiming,
        convention=True,
    ),
    World(
        name="slot",
        sentence="a slot that opens at random: in the mean it is a fifth open at any time, and "
        "one can wait for it in vain",
        make=slot,
        casting=mixture((0.7, slipping(_follow, 0.05, 2)), (0.3, _impatient)),
        episodes=300,
        optimum=10 * (1 - _SHUT**12) - 0.1 * sum(_SHUT**k for k in range(1, 13)),
        known="analysis: 10 if it opens in twelve steps, less 0.1 for each step before",
        best=_follow,
        convention=True,
    ),
    World(
        name="fork",
        sentence="two outcomes at once: the mean of left and right is to stay, which never comes",
        make=fork,
        casting=mixture((0.6, noisy(_under, 0.2)), (0.4, scattered(-1, 1))),
        episodes=300,
        optimum=8.0,
        known="analysis: a net goes as far as a ball bounces, 1 in each of eight steps",
        best=_under,
        convention=True,
    ),
)
