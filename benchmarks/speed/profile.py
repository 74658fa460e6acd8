"""Where the wall time of a round goes, from the traces of all processes. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.speed import spots
from benchmarks.speed.trace import Span, Trace

Stretch = tuple[float, float]
"""Begin and end."""
_LEARNING = (*spots.FORWARD, spots.LOSSES, spots.BACKWARD, spots.ROWS, spots.OPTIMISER)


@dataclass(frozen=True, kw_only=True)
class Busy:
    """Processor seconds of one process per round, in the rollout phase."""

    role: str
    forward: float
    """In calls of networks: the calling thread's, times torch's threads."""
    other: float


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Means over rounds, in seconds of wall time unless it says otherwise."""

    name: str
    size: str
    rounds: int
    update: dict[str, float]
    """The update's seconds by what was done, which add up to all of it."""
    rollout: float
    """The rollout phase: all of a round but the update."""
    rollout_forward: float
    """Of it, while a network is called in at least one process."""
    rollout_predicted: float
    """The same, predictions counted whole: with units, draws and doubts around the networks."""
    rollout_alone: dict[str, float]
    """The phase's seconds by what was done, where one process does everything; else empty."""
    busy: tuple[Busy, ...]

    @property
    def round(self) -> float:
        """Seconds of a whole round."""
        return sum(self.update.values()) + self.rollout

    @property
    def share(self) -> float:
        """Of a round, while a forward or backward pass runs in at least one process."""
        return (self._learning + self.rollout_forward) / self.round

    @property
    def share_predicted(self) -> float:
        """The same, predictions counted whole."""
        return (self._learning + self.rollout_predicted) / self.round

    @property
    def _learning(self) -> float:
        passes = (*spots.FORWARD, spots.LOSSES, spots.BACKWARD)
        return sum(self.update.get(kind, 0.0) for kind in passes)


def profile(name: str, size: str, traces: Sequence[Trace], left_out: int) -> Profile:
    """Computes the profile of a run.

    Args:
        name: the run's.
        size: of its world model.
        traces: of all its processes; one of them updates.
        left_out: first rounds that do not count.

    Raises:
        ValueError: no round is left.
    """
    updates = sorted(
        (span.begin, span.end) for t in traces for span in t.spans if span.kind == spots.UPDATE
    )[max(left_out, 1) - 1 :]
    count = len(updates) - 1
    if count < 1:
        raise ValueError(f"{name}: no round is left of the trace")
    rolling = [(a[1], b[0]) for a, b in itertools.pairwise(updates)]
    learning = updates[1:]
    whole = sum(end - begin for begin, end in learning) / count
    alone, predicted = len(traces) == 1, (*spots.FORWARD, spots.PREDICTING)
    return Profile(
        name=name,
        size=size,
        rounds=count,
        update=_rest(_own(traces, learning, _LEARNING, count), whole),
        rollout=sum(end - begin for begin, end in rolling) / count,
        rollout_forward=_covered(_calls(traces, spots.FORWARD), rolling) / count,
        rollout_predicted=_covered(_calls(traces, predicted), rolling) / count,
        rollout_alone=_alone(traces, rolling, count) if alone else {},
        busy=tuple(_busy(trace, rolling, count) for trace in traces),
    )


def _alone(traces: Sequence[Trace], rolling: Sequence[Stretch], count: int) -> dict[str, float]:
    kinds = (*spots.FORWARD, spots.PREDICTING, spots.ROLLOUT)
    whole = sum(end - begin for begin, end in rolling) / count
    return _rest(_own(traces, rolling, kinds, count), whole)


def _own(
    traces: Sequence[Trace], stretches: Sequence[Stretch], kinds: Sequence[str], count: int
) -> dict[str, float]:
    """Returns each kind's own seconds within the stretches, per round."""
    own = dict.fromkeys(kinds, 0.0)
    for span in _within([s for trace in traces for s in trace.spans], stretches):
        if span.kind in own:
            own[span.kind] += span.own / count
    return own


def _rest(own: dict[str, float], whole: float) -> dict[str, float]:
    """Returns what took time, and what is left of the whole as `other`."""
    return {kind: s for kind, s in own.items() if s > 0} | {"other": whole - sum(own.values())}


def _within(spans: Iterable[Span], stretches: Sequence[Stretch]) -> list[Span]:
    """Returns the spans that lie in one of the stretches."""
    begins = np.array([begin for begin, _ in stretches])
    ends = np.array([end for _, end in stretches])
    return [s for s in spans if bool(((begins <= s.begin) & (s.end <= ends)).any())]


def _calls(traces: Sequence[Trace], kinds: Sequence[str]) -> list[Stretch]:
    return [(s.begin, s.end) for t in traces for s in t.spans if s.kind in kinds]


def _covered(spans: Sequence[Stretch], stretches: Sequence[Stretch]) -> float:
    """Returns for how many seconds of the stretches at least one span was running."""
    joined: list[list[float]] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([begin, end])
    return sum(
        max(0.0, min(end, until) - max(begin, since))
        for begin, end in joined
        for since, until in stretches
    )


def _busy(trace: Trace, rolling: Sequence[Stretch], count: int) -> Busy:
    """Splits a process's processor seconds in the rollout phase."""
    points = sorted(
        point
        for span in trace.spans
        for point in ((span.begin, span.used_begin), (span.end, span.used_end))
    )
    times, used = zip(*points, strict=True) if points else ((0.0,), (0.0,))
    total = sum(np.diff(np.interp(stretch, times, used))[0] for stretch in rolling)
    calls = [s for s in _within(trace.spans, rolling) if s.kind in spots.FORWARD]
    forward = sum(min(s.thread * trace.threads, s.used_end - s.used_begin) for s in calls)
    return Busy(role=trace.role, forward=forward / count, other=float(total - forward) / count)
