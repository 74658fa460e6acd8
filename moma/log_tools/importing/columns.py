"""What the columns of a table are, as a small file beside it says: `columns.toml`.

    episode = "run"                  # column with the episode's number or name; "": a file is one
    time = "t"                       # seconds, or dates; optional
    terminated = ["crashed"]         # flags of an end by the task itself
    ended = ["timeout"]              # flags of any other end
    reward = ["reward"]              # the team's, or one for each agent
    state = []                       # the global state, where there is one beside observations

    [agents.cart_0]
    observation = ["cart_0.x", "cart_0.v"]
    action = ["cart_0.force"]
    action_low = [-1.0]
    action_high = [1.0]

An agent that chooses has `choices = 3` instead of bounds; `present` names a flag of whether the
agent is there, `allowed` a flag for each of its choices.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.importing import usual
from moma.log_tools.importing.fields import Fields
from moma.log_tools.importing.log import Agent, ImportDataError
from moma_core import documents

FILE = "columns.toml"
_ACTION = re.compile(
    r"^(act|action|cmd|command|control|ctrl|u|force|torque|effort|throttle|steer(ing)?|motor|choice)"
    r"([_.\-\[]?\w*\]?)?$"
)
_AGENT = re.compile(r"^(.+?)[./](.+)$|^([A-Za-z]+_?\d+)_(.+)$")
_MOST_CHOICES = 50


@dataclass(frozen=True, kw_only=True)
class AgentColumns:
    """The columns of one agent."""

    observation: tuple[str, ...]
    action: tuple[str, ...]
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    choices: int = 0
    present: str = ""
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The document."""

    agents: dict[str, AgentColumns]
    reward: tuple[str, ...]
    episode: str = ""
    time: str = ""
    terminated: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    state: tuple[str, ...] = ()


def beside(path: Path) -> Fields | None:
    """Returns what the file beside a table, or in a directory of tables, says; None: there is none.

    Raises:
        ImportDataError: it cannot be read, or says what cannot be.
    """
    place = (path if path.is_dir() else path.parent) / FILE
    if not place.is_file():
        return None
    try:
        said = documents.build(Columns, tomllib.loads(documents.text(place)))
    except (OSError, ValueError) as error:
        raise ImportDataError(f"{place}: {error}") from error
    agents = said.agents
    acting = agents and all(agent.action for agent in agents.values())
    if not acting or not said.reward:
        raise ImportDataError(
            f"{place}: an agent, an action of each, and a column of rewards are needed at least"
        )
    kept = {
        "timestamp": (said.time,) * bool(said.time),
        "present": tuple(a.present for a in agents.values() if a.present),
        "allowed": tuple(name for a in agents.values() for name in a.allowed),
    }
    if kept["allowed"] and len({len(a.allowed) for a in agents.values()}) > 1:
        raise ImportDataError(f"{place}: allowed needs as many flags for each agent")
    if len(kept["present"]) not in (0, len(agents)):
        raise ImportDataError(f"{place}: present is needed for each agent, or for none")
    return Fields(
        agents=tuple(
            Agent(
                name=name,
                seen=own.observation,
                acted=own.action,
                names=own.observation,
                choices=own.choices or None,
                low=own.action_low,
                high=own.action_high,
            )
            for name, own in agents.items()
        ),
        rewards=said.reward,
        state=said.state,
        state_names=said.state,
        terminated=tuple((name,) for name in said.terminated),
        ended=tuple((name,) for name in said.ended),
        number=(said.episode,) * bool(said.episode),
        beside={kind: names for kind, names in kept.items() if names},
    )


def draft(sample: Mapping[str, NDArray[Any]]) -> str:
    """Returns a first `columns.toml` by the columns' names, for people to mend.

    Args:
        sample: the first rows of each column.
    """
    terminated, ended = usual.ends(sample)
    taken = {name for group in (*terminated, *ended) for name in group}
    roles = {
        "episode": _named(sample, r"(^|_)(episode|run|trial|trajectory)(_?(id|index|number))?$"),
        "time": _named(sample, r"^(t|time|stamp|timestamp|.*_time|time_s)$"),
        "reward": _named(sample, r"(^|[_./])(reward|rew)([_./]|$)|^r$"),
        "step": _named(sample, r"^(step|frame|index|row)(_?(id|index|number))?$"),
    }
    taken |= {name for own in roles.values() for name in own}
    owned: dict[str, list[tuple[str, str]]] = {}
    for name in sample:
        if name not in taken and sample[name].dtype.kind in "fiu":
            agent, column = _owner(name)
            owned.setdefault(agent, []).append((name, column))
    acting = [a for a, own in owned.items() if any(_ACTION.match(c.lower()) for _, c in own)]
    left = [name for a, own in owned.items() if a not in acting for name, _ in own]
    lines = [
        "# What the columns are, guessed by their names. Mend what is wrong, then import.",
        "# After its last step an episode has one more row, its final state, with an empty reward.",
        f"episode = {_text(roles['episode'][0] if roles['episode'] else '')}"
        "  # its number or name; empty: each file is an episode",
        f"time = {_text(roles['time'][0] if roles['time'] else '')}",
        f"terminated = {_list(n for g in terminated for n in g)}"
        "  # flags: the task itself ended the episode",
        f"ended = {_list(n for g in ended for n in g)}  # flags of any other end: a time limit",
        f"reward = {_list(roles['reward'])}  # the team's, or one for each agent",
        f"state = {_list(left)}  # seen by nobody, unless you add it to an observation",
    ]
    used = {name for own in owned.values() for name, _ in own} | (taken - set(roles["step"]))
    if unused := [name for name in sample if name not in used]:
        lines.append(f"# not used: {', '.join(unused)}")
    for agent in acting or ["agent_0"]:
        own = owned.get(agent, [])
        acts = [name for name, column in own if _ACTION.match(column.lower())]
        lines += [
            "",
            f"[agents.{_text(agent)}]",
            f"observation = {_list(n for n, _ in own if n not in acts)}",
            f"action = {_list(acts)}",
            *_bounds([sample[name] for name in acts]),
        ]
    return "\n".join(lines) + "\n"


def _named(sample: Mapping[str, Any], pattern: str) -> list[str]:
    return [name for name in sample if re.search(pattern, name.lower())]


def _owner(name: str) -> tuple[str, str]:
    """The agent that a column's name begins with, and the rest of it."""
    found = _AGENT.match(name)
    if found is None:
        return "agent_0", name
    return found[1] or found[3], found[2] or found[4]


def _bounds(acts: Sequence[NDArray[Any]]) -> list[str]:
    """The lines of an agent's choices or bounds: the extremes of what was seen."""
    if not acts:
        return []
    low, high = [float(np.nanmin(a)) for a in acts], [float(np.nanmax(a)) for a in acts]
    whole = all(bool((a[np.isfinite(a)] == np.rint(a[np.isfinite(a)])).all()) for a in acts)
    if len(acts) == 1 and whole and low[0] >= 0 and high[0] < _MOST_CHOICES:
        return [
            f"choices = {int(high[0]) + 1}"
            "  # whole numbers were seen; give action_low and action_high if they are amounts"
        ]
    return [
        f"action_low = {low}  # the least that was seen in the first rows; give the true bounds",
        f"action_high = {high}",
    ]


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML string


def _list(values: Any) -> str:  # noqa: ANN401 - any iterable of texts
    return f"[{', '.join(map(_text, values))}]"
