"""The learners that share an update: each computes some rows of a minibatch, all take its step.

Losses are means over rows, so that the whole minibatch's gradient is the sum of those of its
shares, each weighted by its part of the rows. An algorithm asks here for its share, and for what a
loss or a decision needs of the others'; one learner alone has everything, and nobody is asked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import psutil
import torch
from jaxtyping import Float32
from torch import Tensor, distributed

ANSWER_S = 60.0
"""Seconds that the learners of a group wait for each other, at most."""
_SEEN_S = 1.0
"""Seconds until the system says of a process that it has ended, after its connections have."""
_HELD = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD, psutil.STATUS_STOPPED)
"""States of a process that answers nobody."""


class PeerLostError(RuntimeError):
    """A learner of the group does not answer; the text names it. What was begun is of no use."""


class Group:
    """Some learners, of which this is one."""

    def __init__(self, rank: int = 0, processes: Sequence[int] = (0,)) -> None:
        """Has nobody wait.

        Args:
            rank: this one's number; the first one leads.
            processes: process numbers by rank, all of this machine; one: nobody else is there.
        """
        self.rank, self._processes = rank, tuple(processes)

    @property
    def size(self) -> int:
        """Learners."""
        return len(self._processes)

    def share(self, rows: int) -> slice:
        """Returns this learner's rows of a minibatch: one at least, which may count for nothing."""
        begin, end = self._bounds(rows)
        return slice(begin, end) if end > begin else slice(0, 1)

    def weight(self, rows: int) -> float:
        """Returns the part of a minibatch's rows that this learner's share is."""
        begin, end = self._bounds(rows)
        return (end - begin) / rows

    def join(self, gradient: Float32[Tensor, " P"], loss: Tensor, weight: float) -> None:
        """Makes the gradient of a share that of the whole minibatch, in place.

        Args:
            gradient: of the loss.
            loss: mean over the share's rows.
            weight: the share's.
        """
        if self.size == 1:
            return
        # A loss that is no number is seen by one learner alone, and all have to skip its step.
        known = torch.where(loss.detach().isfinite(), weight, torch.nan)
        gradient.mul_(known.to(gradient.dtype))
        self.add(gradient)

    def means(self, values: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
        """Returns means over whole minibatches from those over shares, one below the other.

        Args:
            values: means over this learner's shares of minibatches.
            counts: rows of each whole minibatch.
        """
        stacked = torch.stack([value.detach() for value in values])
        if self.size > 1:
            weights = stacked.new_tensor([self.weight(rows) for rows in counts])
            stacked = stacked * weights.view(-1, *[1] * (stacked.dim() - 1))
            self.add(stacked)
        return stacked

    def mean(self, value: Tensor, rows: int) -> Tensor:
        """Returns the mean over a whole minibatch from that over a share; no gradient flows.

        Args:
            value: mean over this learner's share.
            rows: of the whole minibatch.
        """
        return value.detach() if self.size == 1 else self.means([value], [rows])[0]

    def rows(self, parts: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
        """Returns the rows of all learners, in the order of the minibatches.

        Args:
            parts: this learner's shares of minibatches.
            counts: rows of each whole minibatch.
        """
        if self.size == 1:
            return torch.cat(list(parts))
        whole = parts[0].new_zeros(sum(counts), *parts[0].shape[1:])
        for piece, part in zip(whole.split(list(counts)), parts, strict=True):
            begin, end = self._bounds(len(piece))
            piece[begin:end] = part[: end - begin]
        self.add(whole)
        return whole

    def agreed(self, value: Tensor) -> Tensor:
        """Returns the first learner's value, so that all decide alike."""
        if self.size > 1:
            self.broadcast(value)
        return value

    def add(self, tensor: Tensor) -> None:
        """Adds the other learners' tensors of the same kind, in place.

        Raises:
            PeerLostError: one of them does not answer.
        """
        try:
            distributed.all_reduce(tensor)
        except RuntimeError as error:
            raise self.lost(error) from error

    def broadcast(self, tensor: Tensor) -> None:
        """Replaces a tensor by the first learner's, in place.

        Raises:
            PeerLostError: one of them does not answer.
        """
        try:
            distributed.broadcast(tensor, 0)
        except RuntimeError as error:
            raise self.lost(error) from error

    def lost(self, error: Exception) -> PeerLostError:
        """Returns the error that names who has ended, or all where nobody has.

        Args:
            error: of the transport, which knows no names.
        """
        others = {r: p for r, p in enumerate(self._processes) if r != self.rank}
        until = time.monotonic() + _SEEN_S
        while not (gone := [r for r, p in others.items() if _gone(p)]):
            if time.monotonic() >= until:
                names = " or ".join(named(r, p) for r, p in others.items())
                return PeerLostError(f"no answer from {names} in an update: {error}")
            time.sleep(0.02)
        names = ", ".join(named(r, others[r]) for r in gone)
        return PeerLostError(f"{names} has ended, or is held up, in the middle of an update")

    def _bounds(self, rows: int) -> tuple[int, int]:
        return self.rank * rows // self.size, (self.rank + 1) * rows // self.size


ALONE = Group()
"""One learner."""


def named(rank: int, process: int) -> str:
    """Returns what a learner is called in messages."""
    return f"learner{f'-{rank}' if rank else ''} (process {process})"


def _gone(process: int) -> bool:
    try:
        return psutil.Process(process).status() in _HELD
    except psutil.NoSuchProcess:
        return True
