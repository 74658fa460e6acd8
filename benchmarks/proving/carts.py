"""Three carts gather at one of two gates; scripted play is proportional-derivative control."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.proving.script import Part, Player, noisy, plain
from benchmarks.proving.team import Team, box
from benchmarks.proving.world import World

LOW, HIGH = (-1.0, -1.0, -2.0), (1.0, 1.0, 0.5)
AGENTS = ("cart_0", "cart_1", "cart_2")
RIGHT, LEFT = 0.7, -0.7
END = 1.3
"""Where the track ends, on both sides."""


class Carts(Team):
    """Carts on one track; beyond its ends they derail, or stop at a wall."""

    def __init__(self, *, walls: bool = False) -> None:
        moves = {a: box(LOW[i], HIGH[i]) for i, a in enumerate(AGENTS)}
        super().__init__("carts", dict(zip(AGENTS, (4, 2, 3), strict=True)), moves, 40)
        self._walls = walls

    def begin(self) -> None:
        """Puts the carts near the middle, at rest."""
        self.x, self.v = self.rng.uniform(-0.3, 0.3, 3), np.zeros(3)

    def view(self) -> dict[str, list[float]]:
        """Shows each cart its own motion; one sees where both others are, one where one is."""
        x, v = self.x, self.v
        return {
            "cart_0": [x[0], v[0], x[1], x[2]], "cart_1": [x[1], v[1]], "cart_2": [x[2], v[2], x[0]]
        }  # fmt: skip

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays for being all at one gate, less for effort; derailing costs 5."""
        self.v = 0.8 * self.v + 0.03 * a
        self.x = self.x + self.v
        if self._walls:
            self.v = np.where(np.abs(self.x) > END, 0.0, self.v)
            self.x = np.clip(self.x, -END, END)
        near = max(np.prod(np.exp(-(((self.x - g) / 0.3) ** 2))) for g in (RIGHT, LEFT))
        derailed = bool((np.abs(self.x) > END).any())
        return float(near - 0.01 * np.sum(a**2) - 5.0 * derailed), derailed


def towards(gate: float, *, stiff: float = 2.5, damped: float = 8.0) -> Player:
    """Returns players that drive to a gate, by what each sees of itself.

    Args:
        gate: where it stands.
        stiff: gain on the distance.
        damped: gain against the speed.
    """

    def rule(agent: str, own: NDArray[np.float64]) -> float:
        index = AGENTS.index(agent)
        wanted = stiff * (gate - own[0]) - damped * own[1]
        return float(np.clip(wanted, LOW[index], HIGH[index]))

    return plain(rule)


def wild(side: tuple[float, ...]) -> Player:
    """Returns players that drive at full power, each to its bound."""
    return plain(lambda agent, _: side[AGENTS.index(agent)])


def _casting(rng: Generator, _: int, *, both: bool = False) -> Part:
    """Four of five go right; one in ten breaks off, one in twenty is wild."""
    gate = RIGHT if rng.random() < 0.8 else LEFT
    cut = int(rng.integers(15, 39)) if rng.random() < 0.1 else None
    player = towards(gate)
    if rng.random() < 0.05 * (1 + both):
        player = wild(LOW if both and rng.random() < 0.5 else HIGH)
    return Part(player=noisy(player, 0.3), cut=cut)


def carts() -> Carts:
    """Makes the carts that derail at the ends of their track."""
    return Carts()


def carts_walls() -> Carts:
    """Makes the carts with a wall at each end of their track."""
    return Carts(walls=True)


_BEST = towards(LEFT, stiff=9.0, damped=16.0)
_KNOWN = (
    "return of the scripted players with the best gains of a grid, 9 and 16, at the left gate; "
    "with the log's gains, 2.5 and 8, they earn 31.1 there and 29.3 at the right one"
)
WORLDS = (
    World(
        name="carts",
        sentence="no log reaches the left end: imagination that is clamped to the log's range "
        "holds a cart there, where it derails in truth",
        make=carts,
        casting=_casting,
        episodes=300,
        optimum=33.1,
        known=_KNOWN,
        best=_BEST,
        convention=False,
    ),
    World(
        name="carts-walls",
        sentence="the ends are walls in truth: whoever flees the edge of the log gives nothing "
        "away, and whoever ends there must not be paid for it",
        make=carts_walls,
        casting=_casting,
        episodes=300,
        optimum=33.1,
        known=_KNOWN,
        best=_BEST,
        convention=False,
    ),
    World(
        name="carts-both",
        sentence="carts derail on both sides of the log: what is bad is there to be learned",
        make=carts,
        casting=lambda *drawn: _casting(*drawn, both=True),
        episodes=300,
        optimum=33.1,
        known=_KNOWN,
        best=_BEST,
        convention=False,
    ),
    World(
        name="carts-narrow",
        sentence="experts who never stray: all but one thin path is outside the log",
        make=carts,
        casting=lambda *_: Part(player=noisy(towards(RIGHT), 0.05)),
        episodes=200,
        optimum=33.1,
        known=_KNOWN,
        best=_BEST,
        convention=False,
    ),
)
