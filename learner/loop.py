"""Gather a round, update, publish, save, log, evaluate. It knows no transport and no algorithm."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import psutil
from torch.profiler import record_function

from learner import checkpoint
from learner.algorithms.base import IMAGINED, Algorithm, Skipped
from learner.checkpoint import Counters
from learner.starts import CarriedStarts
from moma_core.runtime.metrics import MetricsWriter
from moma_core.runtime.progress import Progress
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import Stop
from moma_core.types import Metrics, PolicySnapshot, Trajectory

_LOG = logging.getLogger(__name__)
_PATIENCE_S = 0.5
"""Seconds between two looks at the stop flag while a round gathers."""


@runtime_checkable
class Rounds(Protocol):
    """Where a round's segments come from."""

    def publish(self, snapshot: PolicySnapshot) -> None:
        """Makes this the policy and opens its round."""

    def gather(self, wait_s: float) -> Sequence[Trajectory] | None:
        """Returns the round's segments once they are there; None after `wait_s` seconds."""

    def finish(self) -> None:
        """Says that there will be no further round."""

    def counters(self) -> Metrics:
        """Returns counts since the start, for TensorBoard."""

    def waiting_for(self) -> str:
        """Says whom the round waits for."""


Make = Callable[[PolicySnapshot], Sequence[Trajectory]]
"""Makes a round's segments with a policy."""


class Here:
    """A round's segments are made in this process, or there are none to make."""

    def __init__(self, make: Make = lambda _: ()) -> None:
        """Makes none yet."""
        self._make = make

    def publish(self, snapshot: PolicySnapshot) -> None:
        """Keeps the policy for the round."""
        self._snapshot = snapshot

    def gather(self, wait_s: float) -> Sequence[Trajectory]:  # noqa: ARG002 - they are made now
        """Makes the round's segments."""
        return self._make(self._snapshot)

    def finish(self) -> None:
        """Has nobody to tell."""

    def counters(self) -> Metrics:
        """Counts nothing."""
        return {}

    def waiting_for(self) -> str:
        """Waits for nobody."""
        return ""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Rounds between two of each; 0: none."""

    checkpoint: int
    evaluation: int
    keep: int
    """Policies kept for good, to make data with."""


@dataclass(frozen=True, kw_only=True)
class Peers:
    """What the loop asks of others."""

    progress: Callable[[Progress], None]
    """Listener that is told after every round, and while a round waits."""
    stopping: Stop
    """Check that is true once the run shall be stopped."""
    model_measured: Metrics = field(default_factory=dict)
    """Measurements of the model from its fit; empty without one."""
    model_metrics: Callable[[], Metrics] = dict
    """Source of what the model servers say of themselves; says nothing without them."""
    evaluation: Callable[[], Metrics] | None = None
    """Plays the actors in the environment; None when there is none."""
    others: Callable[[Sequence[Trajectory]], None] = lambda _: None
    """Listener that is told what an update learns from, to take its part in it."""
    carried: CarriedStarts | None = None
    """Taker of the rollouts that go on in the next round; None when none do."""


class Loop:
    """Runs the learner's side of a run, round by round."""

    def __init__(
        self,
        algorithm: Algorithm,
        rounds: Rounds,
        schedule: Schedule,
        run: RunDirectory,
        writer: MetricsWriter,
        counters: Counters,
        peers: Peers,
    ) -> None:
        """Publishes the policy as it is.

        Args:
            algorithm: what learns.
            rounds: where segments come from.
            schedule: when to save and to evaluate.
            run: where checkpoints and kept policies go.
            writer: where numbers go.
            counters: what goes on counting over a resume.
            peers: what is asked of others.
        """
        self._algorithm, self._rounds, self._schedule = algorithm, rounds, schedule
        self._run, self._writer, self._peers = run, writer, peers
        self._counters = counters
        self._begun = time.monotonic()
        self._round_begun = time.perf_counter()
        self._begun_at = algorithm.version
        self._score: float | None = None
        self._imagined: float | None = None
        self._sps = 0.0
        self._skipped = Skipped()
        self._saved = counters.version
        self._transitions = counters.transitions
        writer.write(self._transitions, peers.model_measured)
        rounds.publish(algorithm.snapshot())

    @property
    def done(self) -> bool:
        """True after the last round."""
        return self._algorithm.done

    def run(self) -> Counters:
        """Goes on until there is no further round or a stop; the last state is always saved."""
        while not self.done and not self._peers.stopping():
            if not self.round(_PATIENCE_S):
                self._tell()
        self._rounds.finish()
        self._tell()
        return self.save()

    def round(self, wait_s: float) -> bool:
        """Does one round if its segments are there within `wait_s` seconds."""
        segments = self._rounds.gather(wait_s)
        if segments is None:
            return False
        gathered = time.perf_counter()
        if self._peers.carried is not None:
            self._peers.carried.take(segments)
        # However the round was cut, its batch is the same.
        joined = (Trajectory.joined(segments),) if segments else ()
        self._peers.others(joined)
        with record_function("update"):  # what a profiler tells rounds by
            updated = self._algorithm.update(joined)
        ended = time.perf_counter()
        self._transitions += updated.transitions
        if not self.done:
            self._rounds.publish(self._algorithm.snapshot())
        metrics = updated.metrics | {
            "perf/gather_s": gathered - self._round_begun,
            "perf/update_s": ended - gathered,
            "perf/publish_s": time.perf_counter() - ended,
            **(joined[0].metrics if joined else {}),
        }
        self._after(segments, updated.transitions, metrics)
        return True

    def _after(self, segments: Sequence[Trajectory], count: int, metrics: Metrics) -> None:
        """Everything that the next round need not wait for."""
        version, schedule = self._algorithm.version, self._schedule
        self._imagined = metrics.get(IMAGINED, self._imagined)
        self._skipped.note(metrics, version)
        if _due(version, schedule.checkpoint):
            self._attempt("checkpoint", self.save)
        if self._peers.evaluation and _due(version, schedule.evaluation):
            evaluated = self._peers.evaluation()
            self._score = evaluated.get("eval/score")
            metrics |= evaluated
        if _due(version, schedule.keep):
            self._attempt("kept policy", self._keep)
        now = time.perf_counter()
        self._sps, self._round_begun = count / (now - self._round_begun), now
        self._writer.write(self._transitions, metrics | self._charts(segments))
        self._tell()

    def _charts(self, segments: Sequence[Trajectory]) -> Metrics:
        counters = self._rounds.counters()
        return {
            **_lags([self._algorithm.version - 1 - s.policy_version for s in segments]),
            **counters,
            **self._peers.model_metrics(),
            "charts/SPS": self._sps,
            "charts/SPS_per_worker": self._sps / max(1.0, counters.get(_ALIVE, 1.0)),
            "charts/round": float(self._algorithm.version),
            "fault/resumes": float(self._counters.resumes),
            "perf/learner_rss_mb": psutil.Process().memory_info().rss / 2**20,
            "perf/cpu_percent": psutil.cpu_percent(),
        }

    def save(self) -> Counters:
        """Writes a checkpoint, unless this version is on disk already."""
        version = self._algorithm.version
        counters = Counters(
            version=version,
            transitions=self._transitions,
            resumes=self._counters.resumes,
            seconds=self._counters.seconds + time.monotonic() - self._begun,
            data_sha256=self._counters.data_sha256,
        )
        if version != self._saved or version == 0:
            carried = self._peers.carried
            state = self._algorithm.state() | ({} if carried is None else carried.kept())
            checkpoint.save(self._run.checkpoints, state, counters)
            self._saved = version
        return counters

    def _keep(self) -> None:
        snapshot = self._algorithm.snapshot()
        path = self._run.policies / f"{snapshot.version:08d}"
        checkpoint.keep_policy(path, snapshot, self._transitions, self._score)

    def _attempt(self, what: str, work: Callable[[], object]) -> None:
        """Writes something; where the disk does not take it, that is said and training goes on.

        What was written before stays, and the next one is tried when it is due. Only for its last
        checkpoint a run fails.
        """
        try:
            work()
        except OSError as error:
            _LOG.warning(
                "no %s of round %d: %s; the newest whole checkpoint is of round %d; training goes "
                "on, and the next one is tried when it is due",
                what,
                self._algorithm.version,
                error,
                self._saved,
            )

    def _left_s(self) -> float | None:
        """Returns the seconds that the remaining rounds take if they are like those so far."""
        algorithm, taken = self._algorithm, time.monotonic() - self._begun
        made = algorithm.version - self._begun_at
        if algorithm.done:
            return 0.0
        return (algorithm.rounds - algorithm.version) * taken / made if made else None

    def _tell(self) -> None:
        self._peers.progress(
            Progress(
                round=self._algorithm.version,
                rounds=self._algorithm.rounds,
                transitions=self._transitions,
                sps=self._sps,
                score=self._score,
                imagined=self._imagined,
                left_s=self._left_s(),
                stopped=self._algorithm.stopped,
                workers_alive=int(self._rounds.counters().get(_ALIVE, 0.0)),
                waiting_for=self._rounds.waiting_for(),
                seconds=self._counters.seconds + time.monotonic() - self._begun,
            )
        )


_ALIVE = "charts/workers_alive"


def _due(version: int, every: int) -> bool:
    return every > 0 and version % every == 0


def _lags(lags: Sequence[int]) -> Metrics:
    """Updates between the policy that made a segment and the one that it updates."""
    if not lags:
        return {}
    mean = sum(lags) / len(lags)
    return {"lag/min": float(min(lags)), "lag/mean": mean, "lag/max": float(max(lags))}
