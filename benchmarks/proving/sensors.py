"""One easy task, two that meet, seen through sensors and in logs that make it hard."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.proving.script import Act, mixture, noisy, plain, scattered
from benchmarks.proving.team import Team, box
from benchmarks.proving.world import World


class Meet(Team):
    """Two on a line are paid for being near each other; each sees both, itself first."""

    STRIDE, WIDTH = 0.2, 2

    def __init__(self) -> None:
        moves = dict.fromkeys(("one", "other"), box(-1, 1))
        super().__init__("meet", dict.fromkeys(moves, self.WIDTH), moves, 15)

    def begin(self) -> None:
        """Draws where they are."""
        self.x = self.rng.uniform(-1, 1, 2)

    def view(self) -> dict[str, list[float]]:
        """Shows each of them itself, then the other."""
        return {
            "one": self.sensed(self.x[0], self.x[1]),
            "other": self.sensed(self.x[1], self.x[0]),
        }

    def sensed(self, own: float, other: float) -> list[float]:
        """Returns the sensors of one of them."""
        return [own, other]

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays 1, less half of the squared distance."""
        self.x = self.x + self.STRIDE * a
        return 1 - 0.5 * float((self.x[0] - self.x[1]) ** 2), False


class Clutter(Meet):
    """The same among sensors that say nothing, say it twice, or nearly never say anything."""

    WIDTH = 8

    def begin(self) -> None:
        """Draws where they are, and an alarm that means nothing in one episode of fifty."""
        super().begin()
        self.alarm = float(self.rng.random() < 0.02)

    def sensed(self, own: float, other: float) -> list[float]:
        """Returns copies and constants, too."""
        return [own, other, 3.0, own, 0.0, -own, self.alarm, 1e-6 * other]


class Offset(Meet):
    """The same in metres from a far origin: 50 m are 1, and 10^6 m are added."""

    METRES, ORIGIN = 50.0, 1e6

    def sensed(self, own: float, other: float) -> list[float]:
        """Returns coordinates; float32 resolves 0.06 m of them."""
        return [self.ORIGIN + self.METRES * own, self.ORIGIN + self.METRES * other]


def meet() -> Meet:
    """Makes the task with plain sensors."""
    return Meet()


def clutter() -> Clutter:
    """Makes the task with sensors that say nothing."""
    return Clutter()


def offset() -> Offset:
    """Makes the task in coordinates."""
    return Offset()


def _meeting(scale: float) -> Act:
    """Goes half of the way, as far as a step goes."""
    return lambda _, own: (own[1] - own[0]) / scale / 2 / Meet.STRIDE


def _lazy(scale: float, rng: Generator) -> Act:
    """Goes part of the way, or a little away, with one of the two doing most of it."""
    zeal = dict(zip(("one", "other"), rng.uniform(-0.1, 0.3, 2), strict=True))
    act = _meeting(scale)
    return lambda agent, own: zeal[agent] * act(agent, own)


_METRES = Offset.METRES
_known = (
    "analysis: both go towards each other at full speed; a distance d, triangular on 0 to 2, is "
    "max(d - 0.4 k, 0) after k steps, whose mean square is (2 - 0.4 k)^4 / 24"
)
_OPTIMUM = 15 - 0.5 * sum((2 - 0.4 * k) ** 4 / 24 for k in range(1, 5))
WORLDS = (
    World(
        name="random-play",
        sentence="a log of random play: no good episode to copy, all that is known is the dynamics",
        make=meet,
        casting=mixture((1.0, scattered(-1, 1))),
        episodes=300,
        optimum=_OPTIMUM,
        known=_known,
        best=plain(_meeting(1)),
        convention=False,
    ),
    World(
        name="clutter",
        sentence="constant, duplicate, negated and minute features, and one that changed in a few "
        "episodes of the log: divided by its spread it is a fault",
        make=clutter,
        casting=mixture((0.4, noisy(plain(_meeting(1)), 0.3)), (0.6, lambda r: _lazy(1, r))),
        episodes=300,
        optimum=_OPTIMUM,
        known=_known,
        best=plain(_meeting(1)),
        convention=True,
    ),
    World(
        name="offset",
        sentence="coordinates around 10^6: what counts is their difference, in the last two of "
        "float32's seven digits",
        make=offset,
        casting=mixture((0.4, noisy(plain(_meeting(_METRES)), 0.3)),
                        (0.6, lambda r: _lazy(_METRES, r))),
        episodes=300,
        optimum=_OPTIMUM,
        known=_known,
        best=plain(_meeting(_METRES)),
        convention=True,
    ),
)  # fmt: skip
