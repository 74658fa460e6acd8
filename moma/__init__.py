"""Decentralised policies that coordinate, from a fixed log of a team's behaviour.

Five names are the Python API (docs/python.md); what stands behind them is loaded when one of them
is asked for. This package is the only place that knows all roles.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moma.api import evaluate, load, train
    from moma_core.datasets import Dataset

__all__ = ["Dataset", "evaluate", "load", "train"]
_PLACES = {"Dataset": "moma_core.datasets"} | dict.fromkeys(
    ("evaluate", "load", "train"), "moma.api"
)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute
    if name not in _PLACES:
        raise AttributeError(f"module 'moma' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
