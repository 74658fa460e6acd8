"""The `Run` port in-process: hands out the model's files, says how it goes, takes wishes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread

from moma_core import documents
from moma_core.ports import InvalidFieldError
from moma_core.runtime.progress import Progress, RoleSeen
from moma_core.storage import MANIFEST, digest, write_text
from moma_core.types import ModelPart

_PART = 4 * 2**20
"""Bytes of a file that go at once."""
_BEAT_S = 2.0
"""Seconds after which what is said is said anew, also where nothing has happened."""


class Desk:
    """Where others turn to with what is not work. Used from several threads."""

    def __init__(
        self,
        said: Path,
        stop: Callable[[], None],
        model: Path | None = None,
        roles: Callable[[], Sequence[RoleSeen]] = tuple,
    ) -> None:
        """Says nothing yet.

        Args:
            said: file that says how it goes.
            stop: asks the learner to save and to end.
            model: directory of the model that the run's servers serve; None: there is none to hand
                out.
            roles: what is known of workers and servers.
        """
        self._said, self._stop, self._model, self._roles = said, stop, model, roles
        self._digest = "" if model is None else digest(model / MANIFEST)
        self._progress: Progress | None = None
        self._wanted: int | None = None
        self._ended = False
        self._writing = Lock()

    def fetch_model(self, digest: str, file: str, offset: int) -> ModelPart:
        """Reads some of a model's file.

        Args:
            digest: the model's.
            file: its manifest, or a file that this names.
            offset: where to begin, in bytes.

        Raises:
            InvalidFieldError: there is no such model here, or it has no such file.
        """
        if self._model is None or digest != self._digest:
            raise InvalidFieldError(f"digest: {digest[:12]!r} is not the run's model")
        if file not in {MANIFEST, *documents.read(self._model / MANIFEST)["files"]}:
            raise InvalidFieldError(f"file: {file[:80]!r} is none of the model's")
        path = self._model / file
        size = path.stat().st_size
        if not 0 <= offset <= size:
            raise InvalidFieldError(f"offset: {offset}, need 0 to {size}")
        with path.open("rb") as opened:
            opened.seek(offset)
            return ModelPart(data=opened.read(_PART), size=size)

    def stop(self) -> None:
        """Lets the run save and end."""
        self._stop()

    def scale(self, workers: int) -> None:
        """Notes how many workers are wanted, which whoever starts them reads."""
        self._wanted = workers
        self._write()

    def status(self) -> str:
        """Says how it goes, as JSON."""
        if self._progress is None:
            raise InvalidFieldError("status: there is none yet")
        return documents.dump(
            replace(
                self._progress,
                host=socket.gethostname(),
                pid=os.getpid(),
                written=datetime.now(UTC).isoformat(timespec="seconds"),
                ended=self._ended,
                workers_wanted=self._wanted,
                roles=tuple(self._roles()),
            )
        )

    def tell(self, progress: Progress) -> None:
        """Takes how far the learner is."""
        self._progress = progress
        self._write()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Says how it goes every few seconds, and at last that the learner has ended."""
        over = Event()

        def beat() -> None:
            while not over.wait(_BEAT_S):
                self._write()

        thread = Thread(target=beat, name="desk", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._ended = True
            self._write()

    def _write(self) -> None:
        with self._writing:
            if self._progress is not None:
                with suppress(OSError):  # whoever watches sees by its time that it is old
                    write_text(self._said, self.status())
