"""Gather a round, update, publish, save, log, look at the true system. It knows no transport."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from learner import checkpoint
from learner.algorithms.moma_ppo.ppo import PPO
from learner.checkpoint import Counters
from learner.service import LearnerService
from learner.starts import CarriedStarts
from moma_core.config import Config
from moma_core.runtime.metrics import MetricsWriter
from moma_core.runtime.progress import Progress
from moma_core.types import Metrics, Trajectory

_PATIENCE_S = 0.5
"""Seconds between two looks at the stop flag while a round gathers."""


@dataclass(frozen=True, kw_only=True)
class Peers:
    """What the loop asks of others."""

    model_measured: Metrics
    """Measurements of the model from its fit."""
    model_metrics: Callable[[], Metrics]
    """Source of what the model server says of itself."""
    progress: Callable[[Progress], None]
    """Listener that is told after every round, and while a round waits."""
    stopping: Callable[[], bool]
    """Check that is true once the run shall be stopped."""
    look: Callable[[], Metrics] | None = None
    """Evaluation of the actors in the environment; None when there is none."""
    carried: CarriedStarts | None = None
    """Taker of the rollouts that go on in the next round; None when none do."""


class Loop:
    """Runs the learner's side of a run, round by round."""

    def __init__(
        self,
        ppo: PPO,
        service: LearnerService,
        config: Config,
        checkpoints: Path,
        writer: MetricsWriter,
        counters: Counters,
        peers: Peers,
    ) -> None:
        """Publishes the policy as it is."""
        self._ppo, self._service, self._config = ppo, service, config
        self._checkpoints, self._writer, self._peers = checkpoints, writer, peers
        self._counters = counters
        self._begun = time.monotonic()
        self._round_begun = time.perf_counter()
        self._score: float | None = None
        self._sps = 0.0
        self._saved = counters.version
        self._transitions = counters.transitions
        writer.write(self._transitions, peers.model_measured)
        service.publish(ppo.snapshot())

    @property
    def done(self) -> bool:
        """True after the last round."""
        return self._ppo.version >= self._config.ppo.rounds

    def run(self) -> Counters:
        """Goes on until the last round or a stop; the last state is always saved."""
        while not self.done and not self._peers.stopping():
            if not self.round(_PATIENCE_S):
                self._tell()
        self._service.finish()
        return self.save()

    def round(self, wait_s: float) -> bool:
        """Does one round if its segments are there within `wait_s` seconds."""
        trajectories = self._service.gather(wait_s)
        if trajectories is None:
            return False
        gathered = time.perf_counter()
        if self._peers.carried is not None:
            self._peers.carried.take(trajectories)
        metrics = self._ppo.update(trajectories)
        updated = time.perf_counter()
        count = sum(int(t.valid.sum()) for t in trajectories)
        self._transitions += count
        if not self.done:
            self._service.publish(self._ppo.snapshot())
        metrics |= {
            "perf/gather_s": gathered - self._round_begun,
            "perf/update_s": updated - gathered,
            "perf/publish_s": time.perf_counter() - updated,
        }
        self._after(trajectories, count, metrics)
        return True

    def _after(self, trajectories: Sequence[Trajectory], count: int, metrics: Metrics) -> None:
        """Everything that the next round need not wait for."""
        version, config = self._ppo.version, self._config
        if version % config.checkpoint_every == 0:
            self.save()
        if self._peers.look and config.eval.every and version % config.eval.every == 0:
            looked = self._peers.look()
            self._score = looked.get("eval/score")
            metrics |= looked
        if config.keep_every and version % config.keep_every == 0:
            policies = self._checkpoints.parent / "policies"
            checkpoint.keep_policy(policies, self._ppo, self._transitions, self._score)
        now = time.perf_counter()
        self._sps, self._round_begun = count / (now - self._round_begun), now
        self._writer.write(self._transitions, metrics | self._charts(trajectories))
        self._tell()

    def _charts(self, trajectories: Sequence[Trajectory]) -> Metrics:
        counters = self._service.counters()
        lags = [self._ppo.version - 1 - t.policy_version for t in trajectories]
        alive = max(1.0, counters["charts/workers_alive"])
        return {
            **_means([t.metrics for t in trajectories]),
            **counters,
            **self._peers.model_metrics(),
            "charts/SPS": self._sps,
            "charts/SPS_per_worker": self._sps / alive,
            "charts/round": float(self._ppo.version),
            "lag/mean": sum(lags) / len(lags),
            "lag/max": float(max(lags)),
            "fault/resumes": float(self._counters.resumes),
            "perf/learner_rss_mb": psutil.Process().memory_info().rss / 2**20,
            "perf/cpu_percent": psutil.cpu_percent(),
        }

    def save(self) -> Counters:
        """Writes a checkpoint, unless this version is on disk already."""
        counters = Counters(
            version=self._ppo.version,
            transitions=self._transitions,
            resumes=self._counters.resumes,
            seconds=self._counters.seconds + time.monotonic() - self._begun,
        )
        if self._ppo.version != self._saved or self._ppo.version == 0:
            checkpoint.save(self._checkpoints, self._ppo, counters, self._peers.carried)
            self._saved = self._ppo.version
        return counters

    def _tell(self) -> None:
        self._peers.progress(
            Progress(
                round=self._ppo.version,
                rounds=self._config.ppo.rounds,
                transitions=self._transitions,
                sps=self._sps,
                score=self._score,
                workers_alive=int(self._service.counters()["charts/workers_alive"]),
                waiting_for=self._service.waiting_for(),
                seconds=self._counters.seconds + time.monotonic() - self._begun,
            )
        )


def _means(parts: Sequence[Mapping[str, float]]) -> Metrics:
    """Means over segments of what each worker measured."""
    names = {name for part in parts for name in part}
    return {name: sum(part.get(name, 0.0) for part in parts) / len(parts) for name in sorted(names)}
