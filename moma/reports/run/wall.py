"""A run's pictures in TensorBoard, in a directory of their own: nothing is written to the run."""

from __future__ import annotations

import base64
from pathlib import Path

from moma.reports.run.facts import RunFacts
from moma.reports.run.gallery import gallery
from moma_core.runtime.metrics import MetricsWriter
from moma_core.runtime.run import RunDirectory


class Wall:
    """Where a run's pictures hang while it is looked at.

    Args:
        run: the run, which may go on.
        place: directory of their events.
    """

    def __init__(self, run: RunDirectory, place: Path) -> None:
        self._run, self._place = run, place
        self._sources, self._hung = frozenset[Path](), set[str]()

    def refresh(self) -> str:
        """Hangs what can be drawn by now; returns why the rest is missing, where that is new."""
        run = self._run
        made_of = (run.subject, run.model / "report.json", run.film)
        there = frozenset(path for path in made_of if path.is_file())
        if there == self._sources:
            return ""
        self._sources = there
        found = gallery(RunFacts(run))
        writer = MetricsWriter(self._place)
        for picture in found.pictures:
            if picture.tag not in self._hung:
                writer.show(picture.tag, base64.b64decode(picture.data))
                self._hung.add(picture.tag)
        writer.close()
        return found.missing
