"""How a noun's tensors are laid out: dtype and axes by field, read from its annotations alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import get_type_hints

import torch


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One tensor's dtype and axes."""

    dtype: torch.dtype
    axes: tuple[tuple[str, int], ...]
    """Names as in `moma_core.types`, and how much longer each is: ("T", 1) for "T+1"."""

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Returns the shape where the axes have these sizes."""
        return tuple([sizes[name] + more for name, more in self.axes])


@cache
def layouts(noun: type) -> Mapping[str, Layout]:
    """Returns the layout of every tensor of a dataclass, by field."""
    hints = get_type_hints(noun)
    return {
        name: Layout(dtype=getattr(torch, hint.dtypes[0]), axes=_axes(hint.dim_str))
        for name, hint in hints.items()
        if hasattr(hint, "dim_str")
    }


def _axes(text: str) -> tuple[tuple[str, int], ...]:
    parts = (axis.partition("+") for axis in text.split())
    return tuple((name, int(more or 0)) for name, _, more in parts)
