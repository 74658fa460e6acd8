"""Worlds in which time decides: when it pays, how long it goes on, and how soon it is over."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Discrete
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.proving.script import Act, choosing, mixture, noisy, plain, scattered, slipping
from benchmarks.proving.team import Team, box
from benchmarks.proving.world import World


class Payday(Team):
    """Two walkers come home; being there pays in the last four steps alone, and none sees time."""

    STRIDE = 0.15

    def __init__(self) -> None:
        moves = dict.fromkeys(("one", "other"), box(-1, 1))
        super().__init__("payday", dict.fromkeys(moves, 2), moves, 12)

    def begin(self) -> None:
        """Draws where they are, each on one of the two sides."""
        self.x = self.rng.uniform(0.5, 1.0, 2) * self.rng.choice((-1, 1), 2)

    def view(self) -> dict[str, list[float]]:
        """Shows each walker itself, then the other."""
        return {"one": [self.x[0], self.x[1]], "other": [self.x[1], self.x[0]]}

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays for both being at home, from the ninth step on."""
        self.x = self.x + self.STRIDE * a
        home = float(np.prod(np.exp(-((self.x / 0.2) ** 2))))
        return home * (self.t >= 8), False


class Shift(Team):
    """Three must work together in certain steps; work at any other time is for nothing."""

    HOURS = (3, 4, 8, 9)

    def __init__(self) -> None:
        moves = dict.fromkeys(("lift", "turn", "weld"), Discrete(2))
        super().__init__("shift", dict.fromkeys(moves, 1), moves, 12)

    def begin(self) -> None:
        """Nothing is drawn."""

    def view(self) -> dict[str, list[float]]:
        """Shows the clock to all."""
        return {a: [self.t / self.limit] for a in self.possible_agents}

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays 1 where all work in an hour that pays; work costs 0.2, shared."""
        return float(self.t in self.HOURS and a.all()) - 0.2 * float(a.mean()), False


class Delivery(Team):
    """Two carry something to a place; only where they are in the last step counts."""

    STRIDE = 0.1

    def __init__(self) -> None:
        moves = dict.fromkeys(("front", "back"), box(-1, 1))
        super().__init__("delivery", dict.fromkeys(moves, 3), moves, 25)

    def begin(self) -> None:
        """Draws where they are and where they have to go."""
        self.x, self.place = self.rng.uniform(-1, 1, 2), self.rng.uniform(-0.5, 0.5)

    def view(self) -> dict[str, list[float]]:
        """Shows each of them itself, the place and the clock."""
        time = self.t / self.limit
        return {a: [self.x[i], self.place, time] for i, a in enumerate(self.possible_agents)}

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays up to 10 in the last step."""
        self.x = self.x + self.STRIDE * a
        there = float(np.prod(np.exp(-(((self.x - self.place) / 0.2) ** 2))))
        return 10 * there * (self.t == self.limit - 1), False


class Once(Team):
    """One step: each must do what the other sees of it, and then it is over."""

    def __init__(self) -> None:
        moves = dict.fromkeys(("left", "right"), box(-1, 1))
        super().__init__("once", dict.fromkeys(moves, 2), moves, 1)

    def begin(self) -> None:
        """Draws what is wanted."""
        self.wanted = self.rng.uniform(-0.9, 0.9, 2)

    def view(self) -> dict[str, list[float]]:
        """Shows what is wanted of both to each."""
        return {a: self.wanted.tolist() for a in self.possible_agents}

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays 1, less the squared distances; the task itself ends."""
        return 1 - float(((a - self.wanted) ** 2).sum()), True


class Marathon(Team):
    """Two valves hold the level of a tank for 1,000 steps; it must not spill or run dry."""

    FLOW, LEAK = 0.1, 0.02

    def __init__(self) -> None:
        moves = dict.fromkeys(("inlet", "outlet"), box(-1, 1))
        super().__init__("marathon", dict.fromkeys(moves, 1), moves, 1000)

    def begin(self) -> None:
        """Draws the level."""
        self.level = self.rng.uniform(-0.5, 0.5)

    def view(self) -> dict[str, list[float]]:
        """Shows the level to both."""
        return {a: [self.level] for a in self.possible_agents}

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays up to 0.01 a step for a level near 0; beyond 1 on either side all is over."""
        self.level += self.FLOW * (a[0] - a[1]) - self.LEAK
        return 0.01 * float(1 - self.level**2), bool(abs(self.level) > 1)


def payday() -> Payday:
    """Makes the payday."""
    return Payday()


def shift() -> Shift:
    """Makes the shift."""
    return Shift()


def delivery() -> Delivery:
    """Makes the delivery."""
    return Delivery()


def once() -> Once:
    """Makes the single step."""
    return Once()


def marathon() -> Marathon:
    """Makes the thousand steps."""
    return Marathon()


_home = plain(lambda _, own: -own[0] / Payday.STRIDE)
_punctual = plain(lambda _, own: int(round(12 * own[0]) in Shift.HOURS))
_deliver = plain(lambda _, own: (own[1] - own[0]) / Delivery.STRIDE)
_wanted = plain(lambda agent, own: own[int(agent == "right")])


def _level(agent: str, own: NDArray[np.float64]) -> float:
    """Half of what brings the level to 0, in by the one valve and out by the other."""
    half = (Marathon.LEAK - float(own[0])) / Marathon.FLOW / 2
    return half if agent == "inlet" else -half


def _astray(rng: Generator) -> Act:
    """Carries it to where it is not wanted."""
    off = rng.uniform(-0.6, 0.6)
    return lambda _, own: (own[1] + off - own[0]) / Delivery.STRIDE


def _sloppy(rng: Generator) -> Act:
    """Holds the level somewhere else, and lets it jump."""
    off, spread = rng.uniform(-1.0, 1.0), rng.uniform(0.2, 1.0)
    return lambda agent, own: _level(agent, own - off) + spread * rng.standard_normal()


WORLDS = (
    World(
        name="payday",
        sentence="the reward depends on the step, which nobody sees: without it a model pays a "
        "third at any time, and a start inside an episode does not know its age",
        make=payday,
        casting=mixture((0.6, noisy(_home, 0.4)), (0.4, scattered(-1, 1))),
        episodes=300,
        optimum=4.0,
        known="analysis: both come home within seven steps and stay, 1 in each of four steps",
        best=_home,
        convention=True,
    ),
    World(
        name="shift",
        sentence="it pays in four steps of twelve and costs in the others: an act that is right "
        "at one time is wrong at the next",
        make=shift,
        casting=mixture((0.6, slipping(_punctual, 0.1, 2)), (0.4, choosing(2))),
        episodes=300,
        optimum=3.2,
        known="analysis: 1 less 0.2 in each of four steps",
        best=_punctual,
        convention=True,
    ),
    World(
        name="delivery",
        sentence="all reward in the last step of 25: a shorter horizon sees none of it",
        make=delivery,
        casting=mixture((0.4, noisy(_deliver, 0.5)), (0.4, noisy(_astray, 0.5)),
                        (0.2, scattered(-1, 1))),
        episodes=300,
        optimum=10.0,
        known="analysis: 25 steps are enough from everywhere, and both can stay there",
        best=_deliver,
        convention=True,
    ),
    World(
        name="once",
        sentence="one step: there is no next state to imagine and nothing to bootstrap from",
        make=once,
        casting=mixture((0.5, noisy(_wanted, 0.15)), (0.5, scattered(-1, 1))),
        episodes=400,
        optimum=1.0,
        known="analysis: both do what is wanted",
        best=_wanted,
        convention=True,
    ),
    World(
        name="marathon",
        sentence="1,000 steps: errors add up, and no imagined rollout is as long as an episode",
        make=marathon,
        casting=mixture((0.4, noisy(plain(_level), 0.3)), (0.6, _sloppy)),
        episodes=20,
        optimum=9.9998,
        known="analysis: 0.01 in each of 1,000 steps, less 0.0002 for the way from a level within "
        "0.5 to 0, at most three steps",
        best=plain(_level),
        convention=True,
    ),
)  # fmt: skip
