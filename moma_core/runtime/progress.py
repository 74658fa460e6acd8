"""How far a run's learner is: what it writes for whoever watches. It needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RoleSeen:
    """A worker or a model server as the learner knows it."""

    name: str
    """Name of a worker, address of a server."""
    seen_s: float
    """Seconds since its last sign of life."""
    version: str = ""
    """Version of the policy, or digest of the model, that it held then."""
    rate: float = 0.0
    """Transitions of a worker that were accepted, or rows of a server, per second of late."""
    doing: str = ""
    """Work that it is at, or whom it waits for, and since when."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the learner is, for whoever watches."""

    round: int
    """Rounds done."""
    rounds: int
    """Rounds of the whole run."""
    transitions: int
    """Transitions accepted so far, in the whole run."""
    sps: float
    """Accepted transitions per second of the last round."""
    score: float | None
    """Score of the last evaluation; None before the first."""
    imagined: float | None
    """Mean return that the team imagined lately; None where it imagines nothing or nothing yet."""
    left_s: float | None
    """Seconds that all further rounds would take; None before the first."""
    stopped: str
    """Reason for an end before the last round; "" where there is none."""
    workers_alive: int
    """Workers heard of lately."""
    waiting_for: str
    """Name of whom the learner waits for and since when; "" while it works."""
    seconds: float
    """Seconds of training so far, in this process."""
    host: str = ""
    """Machine that the learner runs on."""
    pid: int = 0
    """Number of its process there."""
    written: str = ""
    """Time at which this was said, in UTC."""
    ended: bool = False
    """End of the learner's process, done or stopped."""
    workers_wanted: int | None = None
    """Workers that an operator wants the run to keep; None: those of its config."""
    roles: tuple[RoleSeen, ...] = ()
    """Workers and model servers as the learner knows them."""


def describe(progress: Progress) -> str:
    """Returns the learner's progress as one line."""
    parts = [
        f"round {progress.round}/{progress.rounds}",
        f"{progress.transitions:,} transitions",
        f"{progress.sps:,.0f} SPS",
    ]
    if progress.imagined is not None:
        parts.append(f"imagined return {progress.imagined:.2f}")
    if progress.score is not None:
        parts.append(f"score {progress.score:.2f}")
    parts.append(f"{progress.workers_alive} workers alive")
    if progress.stopped:
        return ", ".join([*parts, f"stopped: {progress.stopped}"])
    if progress.left_s:
        minutes, seconds = divmod(round(progress.left_s), 60)
        parts.append(f"at most {minutes}:{seconds:02} min left")
    if progress.waiting_for:
        parts.append(f"waiting for {progress.waiting_for}")
    return ", ".join(parts)
