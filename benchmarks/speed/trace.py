"""Notes when functions of this process run: wall time, processor time, and what of it is theirs.

It knows no role. A call costs a few microseconds more while it is noted.
"""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from moma_core import documents
from moma_core.storage import write_text


@dataclass(frozen=True, kw_only=True)
class Span:
    """One call."""

    kind: str
    begin: float
    """Seconds of the machine's monotonic clock, which all processes share."""
    end: float
    own: float
    """Wall seconds without those of the noted calls within it."""
    used_begin: float
    """Processor seconds of the whole process so far."""
    used_end: float
    thread: float
    """Processor seconds of the calling thread."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What one process did."""

    role: str
    threads: int
    """Torch's."""
    spans: tuple[Span, ...]


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A function to note the calls of, by where it is looked up when it is called."""

    owner: Any
    name: str
    kind: str
    learning: bool = False
    """Only while gradients are recorded: the same function serves rollouts and measurements."""


@dataclass
class Recorder:
    """Collects spans. Calls may come from any thread."""

    spans: list[Span] = field(default_factory=list)
    _stack: threading.local = field(default_factory=threading.local)

    @contextmanager
    def watching(self, spots: list[Spot]) -> Iterator[None]:
        """Notes calls of these functions until the end of the block."""
        before = [(spot, vars(spot.owner)[spot.name]) for spot in spots]
        for spot, original in before:
            setattr(spot.owner, spot.name, self._noted(original, spot))
        try:
            yield
        finally:
            for spot, original in reversed(before):
                setattr(spot.owner, spot.name, original)

    def trace(self, role: str) -> Trace:
        """Returns all spans so far."""
        return Trace(role=role, threads=torch.get_num_threads(), spans=tuple(self.spans))

    def _noted(self, original: Any, spot: Spot) -> Any:  # noqa: ANN401 - a function or property
        if isinstance(original, property):
            assert original.fget is not None
            return property(self._noted(original.fget, spot))

        @functools.wraps(original)
        def noted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if spot.learning and not torch.is_grad_enabled():
                return original(*args, **kwargs)
            return self._call(spot.kind, lambda: original(*args, **kwargs))

        return noted

    def _call(self, kind: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401
        stack: list[float] = self._stack.__dict__.setdefault("inner", [])
        stack.append(0.0)
        used, thread, begin = time.process_time(), time.thread_time(), time.perf_counter()
        try:
            return call()
        finally:
            end, inner = time.perf_counter(), stack.pop()
            if stack:
                stack[-1] += end - begin
            span = Span(
                kind=kind,
                begin=begin,
                end=end,
                own=end - begin - inner,
                used_begin=used,
                used_end=time.process_time(),
                thread=time.thread_time() - thread,
            )
            self.spans.append(span)


def write(trace: Trace, path: Path) -> None:
    """Writes what a process did."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(asdict(trace)))


def read(directory: Path) -> list[Trace]:
    """Reads what all processes did that wrote it down here."""
    return [
        documents.parse(Trace, path.read_text(encoding="utf-8"), str(path))
        for path in sorted(directory.glob("*.json"))
    ]
