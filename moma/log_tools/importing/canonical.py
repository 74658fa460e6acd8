"""The layout for one's own logs, as npz and Parquet share it.

| name         | rows of T steps | what                                                  |
|--------------|-----------------|-------------------------------------------------------|
| `obs/AGENT`  | T+1             | what the agent observes, of any width                 |
| `state`      | T+1             | the global state; optional where there is `obs`       |
| `act/AGENT`  | T               | its action: floats, or an integer, a choice from 0    |
| `reward`     | T               | the team's, or `reward/AGENT` for each                |
| `terminated` | T               | True where the task itself ended the episode, or      |
|              |                 | `terminated/AGENT` where it ended an agent's          |
| `timestamp`  | T+1             | seconds; optional, as are                             |
| `mask/AGENT` | T+1             | whether the agent is there, and                       |
| `avail/AGENT`| T+1             | which of its choices it has                           |

Without any `obs/AGENT`, every agent sees the whole state; a log of one agent may have `act` in
place of `act/AGENT`. Flags may have any usual name (see `usual`). Agents come in the order of
`meta`, where it names them all, or else of their actions. Optional `meta` is a JSON text, see
`Meta`; what it declares holds, or the log is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moma.log_tools.importing import usual
from moma.log_tools.importing.fields import Fields
from moma.log_tools.importing.log import Agent, Episode, ImportDataError, Layout, Log
from moma_core import documents


@dataclass(frozen=True, kw_only=True)
class AgentMeta:
    """What `meta` says of an agent."""

    name: str
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    choices: int = 0
    """Number of choices of a discrete action; 0 for a continuous one."""
    observation_names: tuple[str, ...] = ()

    @property
    def declared(self) -> dict[str, Any]:
        """What it declares, as `Agent` has it; the bounds of one-hot choices say nothing more."""
        sides = self.action_low, self.action_high
        one_hot = sides == ((0.0,) * self.choices, (1.0,) * self.choices)
        low, high = ((), ()) if one_hot else sides
        names = self.observation_names
        return {"choices": self.choices or None, "low": low, "high": high, "names": names}


@dataclass(frozen=True, kw_only=True)
class Meta:
    """The document `meta`."""

    agents: tuple[AgentMeta, ...] = ()
    state_names: tuple[str, ...] = ()


def fields(source: str, found: Sequence[str], text: str) -> Fields:
    """Says which of a log's arrays are what, and what `meta` declares.

    Args:
        source: the file, for messages.
        found: the names of its arrays.
        text: the document `meta`, empty where there is none.

    Raises:
        ImportDataError: what is needed is missing, or the document names strangers.
    """
    meta, agents = _meta(source, found, text)
    seen = any(name.startswith("obs/") for name in found)
    rewards = ("reward",) if "reward" in found else tuple(f"reward/{a}" for a in agents)
    terminated, ended = usual.ends(found)
    missing = [n for n in (*(f"obs/{a}" for a in agents if seen), *rewards) if n not in found]
    missing += ["terminated"] * (not terminated)
    if not agents or not (seen or "state" in found) or missing:
        what = ", ".join(missing) or ("act/AGENT" if not agents else "obs/AGENT or state")
        raise ImportDataError(f"{source} has no {what}; there are: {', '.join(found) or 'none'}")
    said = {agent.name: agent for agent in meta.agents}
    return Fields(
        agents=tuple(
            Agent(
                name=name,
                seen=(f"obs/{name}",) * seen,
                acted=("act",) if "act" in found else (f"act/{name}",),
                **said.get(name, AgentMeta(name=name)).declared,
            )
            for name in agents
        ),
        rewards=rewards,
        state=("state",) * ("state" in found),
        state_names=meta.state_names,
        terminated=tuple(_of_agents(own, agents) for own in terminated),
        ended=tuple(_of_agents(own, agents) for own in ended),
        number=tuple(name for name in ("episode",) if name in found),
        beside=_beside(found, agents),
    )


def _meta(source: str, found: Sequence[str], text: str) -> tuple[Meta, tuple[str, ...]]:
    """The document, and the agents in their order."""
    try:
        meta = documents.parse(Meta, text or "{}", "meta")
    except ValueError as error:
        raise ImportDataError(f"{source}: {error}") from error
    acting = tuple(n.removeprefix("act/") for n in found if n.startswith("act/"))
    acting = acting or ("agent_0",) * ("act" in found)
    said = tuple(agent.name for agent in meta.agents)
    if strange := set(said) - set(acting):
        raise ImportDataError(f"{source}: meta names {sorted(strange)}, agents are {acting}")
    return meta, said if len(said) == len(acting) else acting


def _of_agents(own: tuple[str, ...], agents: tuple[str, ...]) -> tuple[str, ...]:
    """Flags in the order of the agents, where each has one."""
    return tuple(sorted(own, key=lambda name: [*agents, ""].index(name.partition("/")[2])))


def _beside(found: Sequence[str], agents: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What else is kept; of marks, all agents must have one."""
    kept = {"timestamp": tuple(name for name in usual.TIME if name in found)[:1]}
    for kind, name in (("present", "mask"), ("allowed", "avail")):
        marks = tuple(f"{name}/{agent}" for agent in agents)
        kept[kind] = marks if set(marks) <= set(found) else ()
    return {kind: own for kind, own in kept.items() if own}


def read(
    path: Path,
    suffix: str,
    described: Callable[[Path], tuple[Fields, Layout, int, Sequence[str]]],
    episodes: Callable[[list[Path], Fields], Iterator[Episode]],
) -> Log:
    """Opens a file, or all files of a directory, as one log.

    Args:
        path: the file or directory.
        suffix: of the files in a directory, which are read in the order of their names.
        described: says what a file's arrays are, how many steps it has, and its flags.
        episodes: reads the files from the beginning.

    Raises:
        ImportDataError: there is none, or one is of another team than the first.
    """
    files = sorted(path.glob(f"*{suffix}")) if path.is_dir() else [path]
    if not files:
        raise ImportDataError(f"{path} holds no {suffix} file")
    said = {file: described(file) for file in files}
    (first, (names, layout, _, flags)), *others = said.items()
    for file, own in others:
        if own[:2] != (names, layout):
            raise ImportDataError(
                f"{file} is of another team than {first}: {own[:2]} is not {(names, layout)}"
            )
    return Log(
        source=str(path),
        layout=layout,
        rows=sum(steps for _, _, steps, _ in said.values()),
        episodes=lambda: episodes(files, names),
        notes=usual.unread(flags, names.all),
    )
