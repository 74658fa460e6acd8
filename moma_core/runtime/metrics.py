"""Where numbers go: TensorBoard and JSON lines. Each tag has its sentence in docs/metrics.md."""

from __future__ import annotations

import json
import math
from pathlib import Path

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import FileWriter, SummaryWriter

from moma_core.types import Metrics


class MetricsWriter:
    """The one writer of a run. The x axis is accepted synthetic joint steps."""

    def __init__(self, directory: Path, purge_step: int | None = None) -> None:
        """Opens both files.

        Args:
            directory: TensorBoard's.
            purge_step: on resuming, the step from which earlier events are void.
        """
        self._events = SummaryWriter(str(directory), purge_step=purge_step, flush_secs=5)
        self._lines = (directory / "metrics.jsonl").open("a", encoding="utf-8")

    def write(self, step: int, metrics: Metrics) -> None:
        """Writes every value at `step`; what is not finite goes to JSON as null.

        One event takes all values: an event for each keeps a learner from its workers, who ask for
        the next policy at that moment, ten times as long (docs/performance.md).
        """
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        file: FileWriter = self._events.file_writer  # type: ignore[assignment]  # torch says None
        file.add_summary(Summary(value=values), step)
        plain = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._lines.write(json.dumps({"step": step, **plain}) + "\n")
        self._lines.flush()

    def close(self) -> None:
        """Flushes and closes both."""
        self._events.close()
        self._lines.close()
