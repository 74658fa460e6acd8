"""Where numbers go: TensorBoard and JSON lines. Each tag has its sentence in docs/metrics.md."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import FileWriter, SummaryWriter

from moma_core.types import Metrics

_LOG = logging.getLogger(__name__)


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

    def close(self) -> None:
        """Flushes and closes."""
        if self._events is not None:
            self._try("TensorBoard's log", self._events.close)

    def _event(self, step: int, metrics: Metrics) -> None:
        if self._events is None:
            place = str(self._directory)
            self._events = SummaryWriter(place, purge_step=self._purge_step, flush_secs=5)
            self._purge_step = None  # once; another one would void what was written since
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        file: FileWriter = self._events.file_writer  # type: ignore[assignment]  # torch says None
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
