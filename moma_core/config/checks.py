"""The rules that settings are checked with, where they are made."""

from __future__ import annotations

import math


def require(section: str, **checks: tuple[object, bool, str]) -> None:
    """Raises ValueError naming the first field whose check is false, its rule and its value."""
    for name, (value, holds, rule) in checks.items():
        if not holds:
            raise ValueError(f"{section}.{name} must {rule}, got {value!r}")


def positive(value: float) -> tuple[object, bool, str]:
    """A check for `require`: greater than zero, and finite."""
    return value, 0 < value < math.inf, "be finite and greater than 0"


def not_negative(value: float) -> tuple[object, bool, str]:
    """A check for `require`: zero or more, and finite."""
    return value, 0 <= value < math.inf, "be finite and 0 or greater"


def share(value: float) -> tuple[object, bool, str]:
    """A check for `require`: a share of something."""
    return value, 0 <= value <= 1, "lie in [0, 1]"
