"""This machine's own matmul rate at one shape: what every other speed is measured by."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from benchmarks.speed.table import Part, Row
from benchmarks.speed.timing import Effort, repeat
from moma_core.nets.kernels import dense

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """`rows` rows through a square layer of width `width`, as between two hidden layers."""

    rows: int
    width: int

    def __str__(self) -> str:
        return f"{self.rows}x{self.width}x{self.width}"


class Matmul:
    """Measures each shape once, by the fastest kernel that there is."""

    def __init__(self, effort: Effort, say: Callable[[str], None], device: str = "cpu") -> None:
        self._effort, self._say, self._device = effort, say, device
        self._known: dict[tuple[Shape, str], tuple[str, list[float]]] = {}

    def row(self, shape: Shape, precision: str, size: str) -> Row:
        """Returns the table's row of this matmul."""
        kernel, rates = self._measured(shape, precision)
        part = self._part(shape, precision, 2.0 * shape.width**2)
        name = f"matmul {precision} {shape}"
        return Row(name=name, size=size, rates=rates, parts=[part], more={"kernel": kernel})

    def parts(self, shape: Shape, flop: Mapping[str, float]) -> list[Part]:
        """Returns what these FLOP per row are compared with, by precision."""
        return [self._part(shape, precision, count) for precision, count in flop.items()]

    def _part(self, shape: Shape, precision: str, flop: float) -> Part:
        _, rates = self._measured(shape, precision)
        rate = statistics.median(rates) * 2.0 * shape.width**2
        return Part(precision=precision, flop=flop, matmul=str(shape), rate=rate)

    def _measured(self, shape: Shape, precision: str) -> tuple[str, list[float]]:
        key = (shape, precision)
        if key not in self._known:
            self._say(f"matmul {precision} {shape}")
            measured = {
                name: repeat(call, shape.rows, self._effort)
                for name, call in _kernels(shape, precision, self._device).items()
            }
            best = max(measured, key=lambda name: statistics.median(measured[name]))
            self._known[key] = best, measured[best]
        return self._known[key]


def _kernels(shape: Shape, precision: str, device: str) -> dict[str, Callable[[], object]]:
    """Returns calls that multiply the same operands; both write into fresh memory."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(shape.rows, shape.width, generator=random).to(device, DTYPES[precision])
    weight = torch.randn(shape.width, shape.width, generator=random).to(x)
    bias = torch.zeros(1, shape.width).to(x)
    return {
        "torch.mm": lambda: torch.mm(x, weight),
        "kernels.dense": lambda: dense(x, weight, bias),
    }
