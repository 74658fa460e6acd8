"""The data card's section on conventions: what was found, how, and a picture of it."""

from __future__ import annotations

from collections.abc import Sequence

from moma.log_tools.conventions import FEWEST, Look
from moma.log_tools.conventions.verdict import ALIKE, FLIPS, LEVEL, OPEN, STRONG
from moma.reports.card import choices
from moma_core.types import TaskSpec

_ORDER = ("several", "none", "unclear")
"""Order of verdicts: the first one that a test gives is the dataset's."""
SAID = {"several": "several", "none": "not seen", "unclear": "cannot tell"}


def section(spec: TaskSpec, looks: Sequence[Look]) -> dict[str, object]:
    """Returns what the page says of what the tests found, with the picture of the clearest."""
    if not looks:
        return {"rows": [], "fewest": FEWEST}
    clearest = min(looks, key=lambda look: (_ORDER.index(look.verdict), _p(look)))
    return {
        "sentence": _sentence(looks),
        "rows": [_row(look) for look in looks],
        "picture": choices.conventions(clearest, spec),
        "shown": clearest.rows.where,
        "flips": FLIPS,
        "level": f"{LEVEL:g}",
        "strong": f"{STRONG:g}",
        "open": f"{OPEN:.0%}",
        "alike": f"{ALIKE:g}",
    }


def _sentence(looks: Sequence[Look]) -> str:
    where = [look.rows.where for look in looks if look.verdict == "several"]
    if where:
        return f"This log holds several conventions: at the {' and a '.join(where)}."
    if verdict(looks) == "unclear":
        return "It cannot be told whether this log holds several conventions."
    return "No sign of several conventions."


def verdict(looks: Sequence[Look]) -> str:
    """Returns the log's verdict."""
    return min((look.verdict for look in looks), key=_ORDER.index, default="unclear")


def _row(look: Look) -> tuple[object, ...]:
    strength = float(look.dependence.strength[look.pair])
    return (
        look.rows.where.replace(" ", "\N{NO-BREAK SPACE}"),
        (look.verdict, SAID[look.verdict]),
        f"{len(look.rows.state):,}",
        f"{max(strength, 0.0):.2f}",
        f"{_p(look):.3f}",
        ", ".join(f"{share:.0%}" for share in look.left_open[list(look.pair)].clip(0, 1)),
        f"{look.alike:.2f}",
        look.reason,
    )


def _p(look: Look) -> float:
    return float(look.dependence.p_value[look.pair])
