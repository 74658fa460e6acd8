"""How long and how often to measure, and the rates that come of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much time the measurements take."""

    repeats: int
    repeat_s: float
    """Least seconds of one repeat; a call that takes longer is a repeat by itself."""
    windows: int
    """Over which rows from several processes are counted."""
    window_s: float
    warm_up_s: float
    """Before the first window."""
    rounds: int
    """Of a whole run, those that are left out included."""


FULL = Effort(repeats=7, repeat_s=0.5, windows=5, window_s=2.0, warm_up_s=1.0, rounds=15)
QUICK = Effort(repeats=3, repeat_s=0.1, windows=3, window_s=0.5, warm_up_s=0.5, rounds=6)
LEFT_OUT = 3
"""First rounds of a whole run: caches and memory are not what they will be."""


def repeat(call: Callable[[], object], rows: int, effort: Effort) -> list[float]:
    """Returns rows per second of every repeat.

    Args:
        call: what is measured; it is called twice before.
        rows: that one call does.
        effort: how many repeats, and how long they last at least.
    """
    once = second(call)
    calls = max(1, math.ceil(effort.repeat_s / once))
    rates = []
    for _ in range(effort.repeats):
        begun = time.perf_counter()
        for _ in range(calls):
            call()
        _wait()
        rates.append(calls * rows / (time.perf_counter() - begun))
    return rates


def second(call: Callable[[], object]) -> float:
    """Returns the seconds that a call takes when it is made for the second time."""
    call()
    _wait()
    begun = time.perf_counter()
    call()
    _wait()
    return time.perf_counter() - begun


def _wait() -> None:
    """Waits until a GPU has done what it was asked to do, where one is in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def per_window(
    finished: Iterable[tuple[float, int]], begin: float, window_s: float, windows: int
) -> list[float]:
    """Returns rows per second of every window.

    Args:
        finished: when how many rows were done, in any order; seconds of one monotonic clock.
        begin: of the first window; what was done before it or after the last one is left out.
        window_s: seconds of each window.
        windows: their number; they follow each other without a gap.
    """
    rows = [0] * windows
    for when, count in finished:
        window = math.floor((when - begin) / window_s)
        if 0 <= window < windows:
            rows[window] += count
    return [count / window_s for count in rows]
