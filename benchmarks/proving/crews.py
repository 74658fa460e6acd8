"""Teams whose agents are unlike each other, are bounded to one side, or leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.proving.script import Act, Player, mixture, noisy, plain, scattered
from benchmarks.proving.team import Move, Stepped, Team, box
from benchmarks.proving.world import World


class Sled(Team):
    """One pulls and one lets go of a brake; both act from -2 to 0.5, and best at a bound."""

    def __init__(self) -> None:
        moves = dict.fromkeys(("pull", "brake"), box(-2.0, 0.5))
        super().__init__("bounds", dict.fromkeys(moves, 1), moves, 10)

    def begin(self) -> None:
        """Draws the speed."""
        self.v = self.rng.uniform(0, 0.2)

    def view(self) -> dict[str, list[float]]:
        """Shows the speed to both."""
        return {a: [self.v] for a in self.possible_agents}

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays the speed."""
        self.v = 0.5 * self.v + 0.5 * a[0] - 0.1 * (a[1] + 2)
        return float(self.v), False


class Crew(Team):
    """A gear to choose by where a cart is, an arm to place in three dimensions, a cart to move."""

    STRIDE = 0.2

    def __init__(self) -> None:
        moves: dict[str, Move] = {"gear": Discrete(3), "arm": box(-1, 1, 3), "cart": box(-1, 1)}
        super().__init__("crew", {"gear": 2, "arm": 5, "cart": 1}, moves, 10)

    def begin(self) -> None:
        """Draws where the cart is and where the arm belongs."""
        self.x, self.place = self.rng.uniform(-1, 1), self.rng.uniform(-0.8, 0.8, 3)

    def view(self) -> dict[str, list[float]]:
        """Shows the cart to all; where the arm belongs to the arm alone."""
        time = self.t / self.limit
        return {"gear": [self.x, time], "arm": [*self.place, self.x, time], "cart": [self.x]}

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays half for the arm, in the right gear alone, and half for a cart in the middle."""
        fits = int(a[0]) == _gear(self.x)
        arm = float(np.exp(-((a[1:4] - self.place) ** 2).sum()))
        self.x = float(np.clip(self.x + self.STRIDE * a[4], -1, 1))
        return 0.5 * fits * arm + 0.5 * float(np.exp(-((self.x / 0.3) ** 2))), False


class Relay(Team):
    """Three walk to the end of a road; whoever arrives is paid and leaves, the others go on."""

    STRIDE, PRIZE, COST = 0.1, 10.0, 0.5

    def __init__(self) -> None:
        moves = dict.fromkeys(("one", "two", "three"), box(-1, 1))
        super().__init__("relay", dict.fromkeys(moves, 2), moves, 20)

    def begin(self) -> None:
        """Draws where they are."""
        self.x = dict(zip(self.agents, self.rng.uniform(0, 0.3, 3), strict=True))

    def view(self) -> dict[str, list[float]]:
        """Shows each of them itself and how many are on the road."""
        return {a: [x, float(len(self.agents))] for a, x in self.x.items()}

    def step(self, actions: Mapping[str, Any]) -> Stepped:
        """Goes on by one step: each pays for its time, and gets the prize when it arrives."""
        acting = self.agents
        for agent, move in zip(acting, self.joint({a: actions[a] for a in acting}), strict=True):
            self.x[agent] += self.STRIDE * move
        self.t += 1
        there = {a: bool(self.x[a] >= 1) for a in acting}
        late = {a: self.t >= self.limit and not there[a] for a in acting}
        self.agents = [a for a in acting if not (there[a] or late[a])]
        seen = self.seen()
        return (
            {a: seen[a] for a in acting},
            {a: self.PRIZE * there[a] - self.COST for a in acting},
            there,
            late,
            {a: {} for a in acting},
        )


def bounds() -> Sled:
    """Makes the sled."""
    return Sled()


def crew() -> Crew:
    """Makes the crew."""
    return Crew()


def relay() -> Relay:
    """Makes the relay."""
    return Relay()


def _gear(x: float) -> int:
    return min(2, int((x + 1) * 1.5))


_flat_out = plain(lambda agent, _: 0.5 if agent == "pull" else -2.0)
_walk = plain(lambda *_: 1.0)


def _half_hearted(rng: Generator) -> Act:
    """Pulls and lets go somewhere between the bounds."""
    means = {"pull": rng.uniform(-1.0, 0.45), "brake": rng.uniform(-1.9, 0.0)}
    return lambda agent, _: means[agent]


def _strolling(rng: Generator) -> Act:
    """Walks at one speed for the whole episode."""
    speed = rng.uniform(0.3, 0.9)
    return lambda *_: speed


def _able(agent: str, own: NDArray[np.float64]) -> Any:  # noqa: ANN401 - an agent's own kind
    """Does what the crew is there for."""
    if agent == "gear":
        return _gear(float(own[0]))
    return own[:3] if agent == "arm" else -own[0] / Crew.STRIDE


def _clumsy(slips: float, spread: float) -> Player:
    """Returns a crew that slips into any gear and shakes."""

    def begun(rng: Generator) -> Act:
        def act(agent: str, own: NDArray[np.float64]) -> Any:  # noqa: ANN401 - its own kind
            action = _able(agent, own)
            if agent == "gear":
                return int(rng.integers(3)) if rng.random() < slips else action
            return action + spread * rng.standard_normal(np.shape(action))

        return act

    return begun


WORLDS = (
    World(
        name="bounds",
        sentence="actions from -2 to 0.5 whose best is one bound and the other: no squashing about "
        "0, no noise that only goes one way, may keep a team from them",
        make=bounds,
        casting=mixture((1.0, noisy(_half_hearted, 0.3))),
        episodes=300,
        optimum=0.1 * (1 - 0.5**10) + 0.5 * (9 + 0.5**10),
        known="analysis: pulling at 0.5 with the brake at -2, v is 0.5^k v(0) + 0.5 (1 - 0.5^k)",
        best=_flat_out,
        convention=False,
    ),
    World(
        name="crew",
        sentence="one agent chooses among three, one acts in three dimensions, one in one: widths "
        "and kinds differ within a team",
        make=crew,
        casting=mixture((0.4, _clumsy(0.1, 0.15)), (0.6, _clumsy(0.6, 0.6))),
        episodes=300,
        optimum=9.477,
        known="analysis: gear and arm are always right, which is 5; the cart goes to the middle at "
        "full speed, integrated over where it starts",
        best=plain(_able),
        convention=True,
    ),
    World(
        name="relay",
        sentence="agents leave while the others go on: what they would see and do is zeros, which "
        "is no place on the road, and they earn nothing more",
        make=relay,
        casting=mixture((0.5, noisy(_walk, 0.4)), (0.4, noisy(_strolling, 0.3)),
                        (0.1, scattered(-1, 1))),
        episodes=300,
        optimum=5.5,
        known="analysis: at full speed each arrives after 8, 9 or 10 steps, equally likely",
        best=_walk,
        convention=True,
    ),
)  # fmt: skip
