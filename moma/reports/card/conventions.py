"""The data card's section on conventions: what was found, how, and a picture of it."""

from __future__ import annotations

from collections.abc import Sequence

from moma.log_tools.conventions import FEWEST, Look
from moma.log_tools.conventions.verdict import ALIKE, FLIPS, LEVEL, OPEN, STRONG
from moma.reports.card import choices
from moma.reports.card.html import Markup, join, picture, table, tag
from moma_core.types import TaskSpec

_ORDER = ("several", "none", "unclear")
"""Order of verdicts: the first one that a test gives is the dataset's."""
SAID = {"several": "several", "none": "not seen", "unclear": "cannot tell"}
_HOW = (
    "Where every agent's own actions (marginals) fit the log and their product does not, the team "
    "settles one choice in more than one way, and agents that are cloned one by one would mix the "
    "ways. Tested at one row per episode: what the joint state says of each action is taken out by "
    "leave-one-out kernel ridge regression. Strength: squared correlation of what is left of two "
    "agents, among neighbouring states, as what goes with what may vary with the state; p: how "
    f"often {FLIPS} draws of random signs, which cut all ties between agents, reach it for any two "
    f"agents. Several: p at most {LEVEL:g}, strength at least {STRONG:g}, and the state leaves at "
    f"least {OPEN:.0%} of both agents' variance open. Cannot tell: the nearest states of other "
    f"episodes lie more than {ALIKE:g} of the distance of two random rows apart. "
    "Exploration noise that agents share, signals that they remember and the state does not hold, "
    "and policies of different skill look the same."
)
_READ = (
    "Top: where the agents' joint actions lie, and where they would lie if each agent chose by "
    "itself, whatever the situation. Bottom left: one dot per episode, how far the two actions are "
    "from what the state says, in widths of their bounds. Dots along the rising diagonal: the "
    "agents decide together. A cross or a cloud: each by itself. Bottom right: the same as one "
    "number, against what chance makes."
)


def section(spec: TaskSpec, looks: Sequence[Look]) -> Markup:
    """Returns what the tests found, with the picture of the clearest."""
    if not looks:
        text = f"Not looked for: it takes two agents and {FEWEST} episodes."
        return tag("p", text)
    clearest = min(looks, key=lambda look: (_ORDER.index(look.verdict), _p(look)))
    heads = ("where", "", "episodes", "strength", "p", "left open", "nearest", "why")
    return join(
        tag("p", _sentence(looks)),
        table(heads, [_row(look) for look in looks], "ttnnnnnt"),
        picture(choices.conventions(clearest, spec), "Joint actions against marginals", 1000),
        tag("p", f"The picture shows the {clearest.rows.where}. {_READ}", class_="fine"),
        tag("details", tag("summary", "how this is tested"), tag("p", _HOW, class_="fine")),
    )


def _sentence(looks: Sequence[Look]) -> Markup:
    where = [look.rows.where for look in looks if look.verdict == "several"]
    if where:
        return tag("b", f"This log holds several conventions: at the {' and a '.join(where)}.")
    if verdict(looks) == "unclear":
        return tag("b", "It cannot be told whether this log holds several conventions.")
    return tag("b", "No sign of several conventions.")


def verdict(looks: Sequence[Look]) -> str:
    """Returns the log's verdict."""
    return min((look.verdict for look in looks), key=_ORDER.index, default="unclear")


def _row(look: Look) -> tuple[object, ...]:
    strength = float(look.dependence.strength[look.pair])
    return (
        look.rows.where.replace(" ", "\N{NO-BREAK SPACE}"),
        tag("span", SAID[look.verdict], class_=f"mark {look.verdict}"),
        f"{len(look.rows.state):,}",
        f"{max(strength, 0.0):.2f}",
        f"{_p(look):.3f}",
        ", ".join(f"{share:.0%}" for share in look.left_open[list(look.pair)].clip(0, 1)),
        f"{look.alike:.2f}",
        look.reason,
    )


def _p(look: Look) -> float:
    return float(look.dependence.p_value[look.pair])
