"""What torch.profiler wrote of each process of a run, as spans of a few kinds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.traced import FORWARD, RECORDED

Stretch = tuple[float, float]
"""Begin and end."""
UPDATE, LOSSES, BACKWARD, OPTIMISER = "update", "losses", "backward", "optimiser"
_NODE, _STEP = "autograd::engine::evaluate_function", "Optimizer.step#"
"""How torch names a node of a backward pass, and an optimiser's step."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """One call of a network, node of a backward pass, optimiser step or update."""

    kind: str
    begin: float
    """Seconds since the epoch: processes share the clock."""
    end: float
    recorded: bool = False
    """A network was called while gradients were recorded."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What one process did, in order."""

    role: str
    spans: tuple[Span, ...]
    operators: tuple[Stretch, ...]
    """When an operator of torch was running."""


def read(directory: Path) -> list[Trace]:
    """Reads what all processes did that wrote it down here."""
    return [_trace(path) for path in sorted(directory.glob("*.json"))]


def _trace(path: Path) -> Trace:
    whole = json.loads(path.read_text(encoding="utf-8"))
    since = whole["baseTimeNanoseconds"] * 1e-9
    spans, operators = [], []
    for event in whole["traceEvents"]:
        if event["ph"] != "X" or event["cat"] not in ("cpu_op", "user_annotation"):
            continue
        begin = since + event["ts"] * 1e-6
        end = begin + event["dur"] * 1e-6
        if event["cat"] == "cpu_op":
            operators.append((begin, end))
        if (kind := _kind(event["name"])) is not None:
            recorded = event["name"].startswith(RECORDED)
            spans.append(Span(kind=kind, begin=begin, end=end, recorded=recorded))
    return Trace(
        role=path.stem.rpartition("-")[0],
        spans=tuple(sorted(spans, key=lambda span: span.begin)),
        operators=tuple(joined(operators)),
    )


def _kind(event: str) -> str | None:
    """Returns what an event counts as; None: as an operator at most."""
    if event.startswith(RECORDED):
        return FORWARD + event.removeprefix(RECORDED)
    if event == UPDATE or event.startswith(FORWARD):
        return event
    return BACKWARD if event.startswith(_NODE) else OPTIMISER if event.startswith(_STEP) else None


def joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Returns stretches that overlap as one, in order."""
    found: list[Stretch] = []
    for begin, end in sorted(stretches):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found
