"""What was measured: rows, as a table for people and as JSON for programs."""

from __future__ import annotations

import io
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Column, Table

_WIDTH = 240
"""Columns at most, also on a narrower terminal: a folded line could not be read as a row."""
More = float | str | bool
LEGEND = """\
rows/s: the median of all repeats, beside the smallest and the largest.
FLOP/row: two per weight that a row meets: those of the members used (not the actors') in rollouts;
three times as many in training, backward passes included; in a PPO update, times its epochs.
ratio: the time that the machine's own matmuls, on all cores, would take for the same FLOP in the
same precisions and at the shape of the hidden layers, over the time that was taken.
"""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Of a row's FLOP, those in one precision, and the matmul that they are compared with."""

    precision: str
    flop: float
    """Per row."""
    matmul: str
    """Its shape, rows x inputs x outputs."""
    rate: float
    """FLOP/s of that matmul on this machine, in this run."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    size: str
    """Of the world model; "-" where there is none."""
    rates: Sequence[float]
    """Rows per second, one per repeat."""
    parts: Sequence[Part] = ()
    """None: what is measured does no matmuls."""
    more: Mapping[str, More] = field(default_factory=dict)
    """What else was seen, by name."""

    @property
    def rows_per_s(self) -> float:
        """The median."""
        return statistics.median(self.rates)

    @property
    def flop(self) -> float:
        """Per row, all precisions together."""
        return sum(part.flop for part in self.parts)

    @property
    def ratio(self) -> float | None:
        """Seconds of the machine's own matmuls over seconds taken; None without matmuls."""
        if not self.parts:
            return None
        return self.rows_per_s * sum(part.flop / part.rate for part in self.parts)

    def plain(self) -> dict[str, object]:
        """Returns what JSON holds of this row."""
        return {
            "name": self.name,
            "size": self.size,
            "rows_per_s": self.rows_per_s,
            "spread": [min(self.rates), max(self.rates)],
            "flops": self.rows_per_s * self.flop if self.parts else None,
            "ratio_to_matmul": self.ratio,
            "repeats": len(self.rates),
            "flop_per_row": self.flop if self.parts else None,
            "parts": [asdict(part) for part in self.parts],
            **self.more,
        }


def text(rows: Sequence[Row]) -> str:
    """Returns the table, one line per row, and what its columns mean."""
    right = ("rows/s", "min", "max", "FLOP/row", "GFLOP/s", "ratio")
    numbers = [Column(name, justify="right") for name in right]
    table = Table("name", "size", *numbers, "", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*_cells(row))
    out = io.StringIO()
    Console(file=out, width=_WIDTH).print(table)
    return f"{out.getvalue()}\n{LEGEND}"


def _cells(row: Row) -> tuple[str, ...]:
    flop = f"{row.flop:,.0f}" if row.parts else "-"
    rate = f"{row.rows_per_s * row.flop / 1e9:,.1f}" if row.parts else "-"
    ratio = "-" if row.ratio is None else f"{row.ratio:.3f}"
    more = ", ".join(
        f"{name.replace('_', ' ')} {_short(value)}" for name, value in row.more.items()
    )
    numbers = (row.rows_per_s, min(row.rates), max(row.rates))
    return (row.name, row.size, *(f"{n:,.0f}" for n in numbers), flop, rate, ratio, more)


def _short(value: More) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).lower()


def dump(machine: Mapping[str, object], rows: Sequence[Row], **more: object) -> str:
    """Returns the whole result as JSON."""
    plain = {"machine": dict(machine), "rows": [row.plain() for row in rows], **more}
    return json.dumps(plain, indent=1, allow_nan=False) + "\n"
