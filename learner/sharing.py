"""What the first learner tells the others: what was learned so far, then what each update is of.

Tensors go by torch.distributed; its store says what comes next, since a learner may wait for a
round for as long as it takes workers to imagine it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any

import torch
from safetensors import torch as safetensors
from torch import Tensor, distributed
from torch.distributed import Store  # type: ignore[attr-defined]

from learner.algorithms.base import Algorithm
from learner.algorithms.group import Group
from moma_core.stopping import Stop, StoppedError
from moma_core.types import History, Trajectory, layouts

_LOOK_S = 0.05
_PATIENCE_S = 1.0
"""Seconds between two looks at the stop flag while a learner waits."""
_STOP_S = 8.0
"""Seconds that the first learner has, once all are told to stop, to finish its round with us."""
_LEAVE_S = 2.0
"""Seconds for the other learners to hear that the run is over."""
_END = "end"
_VERSION = "version"


class Lead:
    """The first learner's side; alone it has nobody to tell."""

    def __init__(self, group: Group, store: Store | None, device: str) -> None:
        """Tells nothing yet.

        Args:
            group: all learners.
            store: where the others wait; None: there are none.
            device: where tensors are sent from.
        """
        self.group, self._store, self._device = group, store, device
        self._numbers = count()

    def share(self, learned: Algorithm) -> None:
        """Gives the others what was learned so far."""
        if self.group.size > 1:
            version = torch.tensor(learned.version)
            self._send({**learned.state(), _VERSION: version})

    def tell(self, segments: Sequence[Trajectory]) -> None:
        """Gives the others what the next update learns from: one segment, or none."""
        if self.group.size > 1:
            self._send({name: t for path in segments for name, t in _tensors(path).items()})

    def end(self) -> None:
        """Says that there is no further round, and lets the others hear it."""
        if self._store is None:
            return
        self._store.set(_message(next(self._numbers)), _END)
        left = [f"left/{rank}" for rank in range(1, self.group.size)]
        until = time.monotonic() + _LEAVE_S
        while not self._store.check(left) and time.monotonic() < until:
            time.sleep(_LOOK_S)
        distributed.destroy_process_group()

    def _send(self, tensors: Mapping[str, Tensor]) -> None:
        assert self._store is not None
        copies = {name: value.to("cpu", copy=True) for name, value in tensors.items()}
        whole = bytearray(safetensors.save(copies))
        self._store.set(_message(next(self._numbers)), str(len(whole)))
        self.group.broadcast(torch.frombuffer(whole, dtype=torch.uint8).to(self._device))


class Member:
    """Another learner's side."""

    def __init__(self, group: Group, store: Store, device: str) -> None:
        """Waits for nothing yet.

        Args:
            group: all learners.
            store: where the first one says what is next.
            device: where tensors are received.
        """
        self.group, self._store, self._device = group, store, device
        self._numbers = count()

    def take(self, learned: Algorithm, stopping: Stop) -> None:
        """Takes what was learned so far.

        Args:
            learned: what learns, with the first learner's settings.
            stopping: true once the process shall stop.

        Raises:
            StoppedError: the process was told to stop, or the run has ended.
            PeerLostError: the first learner has ended.
        """
        state = self._received(stopping)
        if state is None:
            raise StoppedError("the run ended before it began")
        learned.load(state, int(state.pop(_VERSION)))

    def rounds(self, stopping: Stop) -> Iterator[Sequence[Trajectory]]:
        """Yields what to learn from, round by round, until the run is over.

        Args:
            stopping: true once the process shall stop.

        Raises:
            StoppedError: the process was told to stop.
            PeerLostError: the first learner has ended.
        """
        while (tensors := self._received(stopping)) is not None:
            yield (_path(tensors),) if tensors else ()
        with suppress(distributed.DistError):  # it may have gone already
            self._store.set(f"left/{self.group.rank}", "")

    def _received(self, stopping: Stop) -> dict[str, Tensor] | None:
        key = _message(next(self._numbers))
        until = math.inf
        try:
            while not there(self._store, key):
                if stopping() and until == math.inf:
                    until = time.monotonic() + _STOP_S
                if time.monotonic() >= until:
                    raise StoppedError("stopped between two rounds")
            said = self._store.get(key).decode()
        except distributed.DistError as error:
            raise self.group.lost(error) from error
        if said == _END:
            return None
        whole = torch.empty(int(said), dtype=torch.uint8, device=self._device)
        self.group.broadcast(whole)
        return safetensors.load(whole.cpu().numpy().tobytes())


def there(store: Store, key: str) -> bool:
    """Waits a moment for a key; returns whether it is there."""
    try:
        store.wait([key], timedelta(seconds=_PATIENCE_S))
    except distributed.DistStoreError:
        return False
    return True


def _message(number: int) -> str:
    return f"message/{number}"


def _tensors(path: Trajectory) -> dict[str, Tensor]:
    own = {name: getattr(path, name) for name in layouts(Trajectory)}
    return {**own, "frames": path.history.frames, "exists": path.history.exists}


def _path(tensors: Mapping[str, Tensor]) -> Trajectory:
    own: dict[str, Any] = {name: tensors[name] for name in layouts(Trajectory)}
    history = History(frames=tensors["frames"], exists=tensors["exists"])
    return Trajectory(
        policy_version=0, epoch=0, worker="", incarnation=0, first=0, history=history, **own
    )
