"""What the team earned in imagination, round by round, and since when that has not risen."""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from moma_core.types import Trajectory

_ROUNDS = 5
"""Rounds over which the imagined return is averaged."""
_SHARE = 0.01
"""Share of all that it has risen so far that a further rise has to pass."""


def returns(path: Trajectory) -> Float32[Tensor, " B"]:
    """Returns what rollouts that began an episode earned, before the penalty, undiscounted."""
    return ((path.reward + path.penalty) * path.valid).sum(0)[path.age == 0].cpu()


class Plateau(nn.Module):
    """The mean imagined return of the last rounds against the best there was.

    It counts as risen by more than its own standard error and a hundredth of what it has risen
    since the first rounds: what rises forever by less and less comes to an end, and what creeps up
    has risen once it has come that far. Where it rises again after a fall (agents part with what
    they had before they agree on something better), nobody waits either.
    """

    count: Tensor
    recent: Tensor
    variance: Tensor
    first: Tensor
    best: Tensor
    waited: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.tensor(0))
        for name in ("recent", "variance"):
            self.register_buffer(name, torch.zeros(2 * _ROUNDS, dtype=torch.float64))
        for name in ("first", "best"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))
        self.register_buffer("waited", torch.tensor(0))

    @property
    def mean(self) -> float | None:
        """The mean over the last rounds; None before the first."""
        rounds = min(int(self.count), _ROUNDS)
        return float(self.recent[-rounds:].mean()) if rounds else None

    def over(self, patience: int) -> bool:
        """True where it has not risen for so many rounds; with 0 nobody waits for that."""
        return 0 < patience <= int(self.waited)

    def said(self, patience: int, rounds: int | None) -> str:
        """Says in words how it ended: without a rise, or too soon; nothing where neither.

        Args:
            patience: rounds without a rise after which it is over.
            rounds: of the run, once they are all done.
        """
        if self.over(patience):
            best = float(self.best)
            return f"the imagined return has not risen above {best:.2f} for {patience} rounds"
        if rounds is not None and int(self.count) > _ROUNDS and not int(self.waited):
            more = f"--resume RUN --ppo.rounds {2 * rounds}"
            return f"the imagined return was still rising; for more rounds: {more}"
        return ""

    def add(self, earned: Float32[Tensor, " B"]) -> None:
        """Takes in a round's returns; a round in which no episode began tells nothing."""
        if not len(earned):
            return
        exact = earned.double()
        of_the_mean = exact.var(correction=0) / len(exact)
        for kept, now in ((self.recent, exact.mean()), (self.variance, of_the_mean)):
            kept.copy_(torch.cat([kept[1:], now[None]]))
        self.count += 1
        mean, before = self.recent[_ROUNDS:].mean(), self.recent[:_ROUNDS].mean()
        if self.count <= _ROUNDS:
            mean = self.recent[-int(self.count) :].mean()
            self.first.copy_(mean)
            self.best.copy_(mean)
            return
        error = self.variance[_ROUNDS:].mean().div(_ROUNDS).sqrt()
        least = torch.maximum(error, _SHARE * (self.best - self.first))
        rising = self.count >= 2 * _ROUNDS and mean > before + 2 * least
        if mean > self.best + least:
            self.best.copy_(mean)
            self.waited.zero_()
        elif not rising:
            self.waited += 1
