"""Games of choices: agreeing without a word, and remembering a cue."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Discrete
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.proving.script import Act, Part, Player, choosing, mixture, plain, slipping
from benchmarks.proving.team import Team
from benchmarks.proving.world import World


class Convention(Team):
    """Agents choose between 0 and 1 and are paid where all choose alike; they see the clock."""

    def __init__(self, count: int) -> None:
        agents = [f"agent_{i}" for i in range(count)]
        moves = {a: Discrete(2) for a in agents}
        super().__init__(f"convention-{count}", dict.fromkeys(agents, 1), moves, 10)

    def begin(self) -> None:
        """Nothing is drawn."""

    def view(self) -> dict[str, list[float]]:
        """Shows the share of the episode that is over, the same to all."""
        return {a: [self.t / self.limit] for a in self.possible_agents}

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays 1 where all agree."""
        return float((a == a[0]).all()), False


def always(choice: int) -> Player:
    """Returns players that all make one choice."""
    return plain(lambda *_: choice)


def convention_2() -> Convention:
    """Makes the game of two agents."""
    return Convention(2)


def convention_3() -> Convention:
    """Makes the game of three agents."""
    return Convention(3)


def convention_4() -> Convention:
    """Makes the game of four agents."""
    return Convention(4)


def convention_6() -> Convention:
    """Makes the game of six agents."""
    return Convention(6)


def _half_and_half(_: Generator, episode: int) -> Part:
    # Exactly half: in a log with a majority the clones would agree on it.
    return Part(player=slipping(always(episode % 2), 0.1, 2))


_GAMES = {2: convention_2, 3: convention_3, 4: convention_4, 6: convention_6}


class Maze(Team):
    """A corridor that ends in a fork: both must turn to the side that was shown at the start."""

    def __init__(self) -> None:
        agents = ("scout", "porter")
        super().__init__("memory", dict.fromkeys(agents, 2), dict.fromkeys(agents, Discrete(2)), 6)

    def begin(self) -> None:
        """Draws the side."""
        self.side = int(self.rng.integers(2))

    def view(self) -> dict[str, list[float]]:
        """Shows how far they are; the side, as -1 or 1, at the start alone."""
        cue = 2.0 * self.side - 1.0 if self.t == 0 else 0.0
        return {a: [cue, self.t / self.limit] for a in self.possible_agents}

    def advance(self, a: NDArray[np.float64]) -> tuple[float, bool]:
        """Pays 1 at the end where both turn to the side; in the corridor a choice does nothing."""
        return float(self.t == self.limit - 1 and (a == self.side).all()), False


def memory() -> Maze:
    """Makes the maze."""
    return Maze()


def remembering(rng: Generator) -> Act:
    """Chooses at random in the corridor, and at its end the side that was shown."""
    shown = {}

    def act(agent: str, own: NDArray[np.float64]) -> int:
        if own[0]:
            shown[agent] = int(own[0] > 0)
        return shown[agent] if own[1] > 4.5 / 6 else int(rng.integers(2))

    return act


WORLDS = (
    *(
        World(
            name=f"convention-{count}",
            sentence=f"two conventions, half of the log each: {count} agents that copy it, each "
            f"for itself, agree with probability {0.5 ** (count - 1):g}",
            make=make,
            casting=_half_and_half,
            episodes=300,
            optimum=10.0,
            known="analysis: 1 in each of ten steps",
            best=always(0),
            convention=True,
        )
        for count, make in _GAMES.items()
    ),
    World(
        name="memory",
        sentence="what decides was seen once, at the start: neither the last observation nor the "
        "joint state holds it at the end",
        make=memory,
        casting=mixture((0.6, slipping(remembering, 0.1, 2)), (0.4, choosing(2))),
        episodes=400,
        optimum=1.0,
        known="analysis: 1 for turning to the side that was shown; 0.5 without memory",
        best=remembering,
        convention=True,
    ),
)
