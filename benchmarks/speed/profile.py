"""Where the wall time of a round goes, from the traces of all processes. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.speed.trace import BACKWARD, LOSSES, UPDATE, Stretch, Trace, joined
from benchmarks.speed.traced import FORWARD


@dataclass(frozen=True, kw_only=True)
class Busy:
    """Seconds of one process per round in the rollout phase."""

    role: str
    forward: float
    """While it called a network."""
    operators: float
    """While it ran other operators of torch."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Means over rounds, in seconds of wall time."""

    name: str
    size: str
    rounds: int
    update: dict[str, float]
    """The update's seconds by what was done, which add up to all of it."""
    rollout: float
    """The rollout phase: all of a round but the update."""
    rollout_forward: float
    """Seconds of it while a network is called in at least one process."""
    rollout_operators: float
    """Seconds of it while a network is called, or another operator of torch runs, somewhere."""
    rollout_alone: dict[str, float]
    """The phase's seconds by what was done, where one process does everything; else empty."""
    busy: tuple[Busy, ...]

    @property
    def round(self) -> float:
        """Seconds of a whole round."""
        return sum(self.update.values()) + self.rollout

    @property
    def share(self) -> float:
        """Share of a round while a forward or backward pass runs in at least one process."""
        learning = (s for kind, s in self.update.items() if kind in (LOSSES, BACKWARD))
        forward = (s for kind, s in self.update.items() if kind.startswith(FORWARD))
        return (sum(learning) + sum(forward) + self.rollout_forward) / self.round


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
    updates = _stretches(traces, lambda kind: kind == UPDATE)[max(left_out, 1) - 1 :]
    count = len(updates) - 1
    if count < 1:
        raise ValueError(f"{name}: no round is left of the trace")
    rolling, learning = [(a[1], b[0]) for a, b in itertools.pairwise(updates)], updates[1:]
    learner = next(trace for trace in traces if any(s.kind == UPDATE for s in trace.spans))
    alone = len(traces) == 1
    busy = tuple(_busy(trace, rolling, count) for trace in traces)
    forward = _stretches(traces, _is_forward)
    either = [*forward, *(stretch for trace in traces for stretch in trace.operators)]
    return Profile(
        name=name,
        size=size,
        rounds=count,
        update=_parts(learner, learning, count),
        rollout=sum(end - begin for begin, end in rolling) / count,
        rollout_forward=_covered(forward, rolling) / count,
        rollout_operators=_covered(either, rolling) / count,
        rollout_alone=_parts(learner, rolling, count) if alone else {},
        busy=busy,
    )


def _parts(trace: Trace, stretches: Sequence[Stretch], count: int) -> dict[str, float]:
    """Returns the seconds per round of what one process did, and of the rest as `other`.

    What lies between a recorded call of a network and what follows it is the losses'; what lies
    between two nodes of a backward pass is the pass's.
    """
    seconds: dict[str, float] = {}

    def add(kind: str, span_s: float) -> None:
        seconds[kind] = seconds.get(kind, 0.0) + span_s / count

    for begin, end in stretches:
        within = [s for s in trace.spans if begin <= s.begin and s.end <= end and s.kind != UPDATE]
        for span in within:
            add(span.kind, span.end - span.begin)
        for before, after in itertools.pairwise(within):
            if before.recorded and (after.recorded or after.kind == BACKWARD):
                add(LOSSES, after.begin - before.end)
            elif before.kind == after.kind == BACKWARD:
                add(BACKWARD, after.begin - before.end)
    whole = sum(end - begin for begin, end in stretches) / count
    return seconds | {"other": whole - sum(seconds.values())}


def _busy(trace: Trace, rolling: Sequence[Stretch], count: int) -> Busy:
    called = _stretches([trace], _is_forward)
    forward = _covered(called, rolling)
    both = _covered([*called, *trace.operators], rolling)
    return Busy(role=trace.role, forward=forward / count, operators=(both - forward) / count)


def _is_forward(kind: str) -> bool:
    return kind.startswith(FORWARD)


def _stretches(traces: Sequence[Trace], wanted: Callable[[str], bool]) -> list[Stretch]:
    return sorted((s.begin, s.end) for t in traces for s in t.spans if wanted(s.kind))


def _covered(stretches: Iterable[Stretch], within: Sequence[Stretch]) -> float:
    """Returns the seconds of `within` while at least one of the stretches was running."""
    return sum(
        max(0.0, min(end, until) - max(begin, since))
        for begin, end in joined(stretches)
        for since, until in within
    )
