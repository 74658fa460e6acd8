"""Where numbers go: TensorBoard and JSON lines. Each tag has its sentence in docs/metrics.md."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import FileWriter, SummaryWriter
from torch.utils.tensorboard.summary import hparams

from moma_core.types import Metrics

_LOG = logging.getLogger(__name__)
LAYOUT = {
    "worth": {
        "return in the environment": ["eval/return", "final/return"],
        "return imagined, and estimated at the end": ["charts/imagined_return", "estimate/return"],
        "score": ["eval/score", "final/score"],
    },
    "how sure": {
        "members' disagreement": ["rollout/disagreement_mean"],
        "rollouts that left the log, or were cut": [
            "rollout/outside_fraction",
            "rollout/cut_fraction",
        ],
        "penalty, of the model's reward": ["rollout/penalty", "rollout/model_reward"],
        "episodes of the estimate that left the log, were cut, steps unusual": [
            "estimate/outside_fraction",
            "estimate/cut_fraction",
            "estimate/unusual_fraction",
        ],
    },
    "learning": {
        "policies": ["losses/policy.*"],
        "entropy": ["losses/entropy/.*"],
        "KL from the clones": ["losses/clone_kl/.*"],
        "critic": ["losses/value", "losses/explained_variance"],
        "held-out likelihood of the log's actions": ["losses/holdout_nll/.*"],
    },
    "machine": {
        "lag": ["lag/.*"],
        "steps per second": ["charts/SPS.*"],
        "model servers": ["model_server/queue_ms_p95", "model_server/forward_ms_p95"],
        "faults": ["fault/.*"],
        "seconds of a round": ["perf/gather_s", "perf/update_s", "perf/publish_s"],
        "load, per cent": ["perf/cpu_percent"],
    },
}
"""Charts of TensorBoard's custom layout, what matters first: by group and title the tags."""


class MetricsWriter:
    """The one writer of a run. The x axis is accepted synthetic joint steps.

    A disk that is full or gone costs numbers, not the run: it is said once, and tried again.
    """

    def __init__(self, directory: Path, purge_step: int | None = None) -> None:
        """Opens both files.

        Args:
            directory: TensorBoard's.
            purge_step: on resuming, the step from which earlier events are void.
        """
        self._directory, self._purge_step = directory, purge_step
        self._events: SummaryWriter | None = None
        self._lost: set[str] = set()

    def write(self, step: int, metrics: Metrics) -> None:
        """Writes every value at `step`; what is not finite goes to JSON as null.

        One event takes all values: an event for each keeps a learner from its workers, who ask for
        the next policy at that moment, ten times as long (docs/performance.md).
        """
        self._try("TensorBoard's log", lambda: self._event(step, metrics))
        self._try("metrics.jsonl", lambda: self._line(step, metrics))

    def introduce(self, config: str) -> None:
        """Writes what the charts are grouped by, and the settings as text.

        Args:
            config: the run's, as JSON.
        """
        layout = {
            group: {title: ["Multiline", tags] for title, tags in charts.items()}
            for group, charts in LAYOUT.items()
        }
        lines = "\n".join(f"    {line}" for line in config.splitlines())

        def work() -> None:
            events = self._opened()
            events.add_custom_scalars(layout)
            events.add_text("config", lines)

        self._try("TensorBoard's log", work)

    def show(self, tag: str, picture: bytes) -> None:
        """Writes a picture.

        Args:
            tag: its name.
            picture: as a PNG or GIF file holds it.
        """
        image = Summary.Image(encoded_image_string=picture)
        value = Summary.Value(tag=tag, image=image)

        def work() -> None:
            file: FileWriter = self._opened().file_writer  # type: ignore[assignment]
            file.add_summary(Summary(value=[value]))

        self._try("TensorBoard's log", work)

    def conclude(self, settings: Mapping[str, str | float], final: Metrics) -> None:
        """Writes a run's line in the table of hyper-parameters.

        Args:
            settings: what it is told apart by.
            final: what came out, by tags that were written.
        """

        def work() -> None:
            file: FileWriter = self._opened().file_writer  # type: ignore[assignment]
            for part in hparams(dict(settings), dict(final)):
                file.add_summary(part)

        self._try("TensorBoard's log", work)

    def close(self) -> None:
        """Flushes and closes."""
        if self._events is not None:
            self._try("TensorBoard's log", self._events.close)

    def _opened(self) -> SummaryWriter:
        if self._events is None:
            place = str(self._directory)
            self._events = SummaryWriter(place, purge_step=self._purge_step, flush_secs=5)
            self._purge_step = None  # once; another one would void what was written since
        return self._events

    def _event(self, step: int, metrics: Metrics) -> None:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        file: FileWriter = self._opened().file_writer  # type: ignore[assignment]  # torch says None
        file.add_summary(Summary(value=values), step)

    def _line(self, step: int, metrics: Metrics) -> None:
        plain = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        with (self._directory / "metrics.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": step, **plain}) + "\n")

    def _try(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            if what not in self._lost:
                _LOG.warning(
                    "%s in %s is not written: %s; the run goes on", what, self._directory, error
                )
            self._lost.add(what)
            if what.startswith("TensorBoard"):
                self._events = None  # its thread has ended: a new one is begun next time
        else:
            self._lost.discard(what)
