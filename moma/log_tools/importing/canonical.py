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

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moma.log_tools.importing import usual
from moma.log_tools.importing.fields import Fields
from moma.log_tools.importing.log import Agent, Episode, ImportDataError, Layout, Log, numbered
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


@dataclass(frozen=True, kw_only=True)
class Meta:
    """The document `meta`."""

    agents: tuple[AgentMeta, ...] = ()
    state_names: tuple[str, ...] = ()


def describe(
    source: str,
    found: Sequence[str],
    shapes: Callable[[Sequence[str]], Mapping[str, tuple[int, str]]],
    text: str,
) -> tuple[Fields, Layout]:
    """Says which of a log's arrays are what, and who acts in it.

    Args:
        source: the file, for messages.
        found: the names of its arrays.
        shapes: returns the width of a row of some arrays, and numpy's letter for their kind.
        text: the document `meta`, empty where there is none.

    Raises:
        ImportDataError: what is needed is missing, or the document does not fit the arrays.
    """
    meta, agents = _meta(source, found, text)
    seen = tuple(f"obs/{a}" for a in agents) if any(n.startswith("obs/") for n in found) else ()
    state = ("state",) * ("state" in found)
    rewards = ("reward",) if "reward" in found else tuple(f"reward/{a}" for a in agents)
    terminated, ended = usual.ends(found)
    missing = [n for n in (*seen, *rewards) if n not in found]
    missing += ["terminated"] * (not terminated)
    if not agents or not (seen or state) or missing:
        what = ", ".join(missing) or ("act/AGENT" if not agents else "obs/AGENT or state")
        raise ImportDataError(f"{source} has no {what}; there are: {', '.join(found) or 'none'}")
    names = Fields(
        features=(*state, *seen),
        actions=("act",) if "act" in found else tuple(f"act/{a}" for a in agents),
        rewards=rewards,
        terminated=tuple(_of_agents(own, agents) for own in terminated),
        ended=tuple(_of_agents(own, agents) for own in ended),
        number=tuple(name for name in ("episode",) if name in found),
        beside=_beside(found, agents),
    )
    of = shapes(names.all)
    width = of["state"][0] if state else 0
    if meta.state_names and len(meta.state_names) != width:
        raise ImportDataError(
            f"{source}: meta has {len(meta.state_names)} state_names, the state has {width} columns"
        )
    said = {agent.name: agent for agent in meta.agents}
    observed = [of[name][0] for name in seen] if seen else [None] * len(agents)
    return names, Layout(
        agents=tuple(
            _agent(source, said.get(name, AgentMeta(name=name)), wide, *of[action])
            for name, action, wide in zip(agents, names.actions, observed, strict=True)
        ),
        state=meta.state_names or numbered("state", width),
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


def _agent(source: str, said: AgentMeta, seen: int | None, width: int, kind: str) -> Agent:
    """What is known of an agent: its observation's width, its action's and its action's kind."""
    one_hot = (0.0,) * said.choices, (1.0,) * said.choices
    if (said.action_low, said.action_high) == one_hot:
        said = replace(said, action_low=(), action_high=())  # of choices they say nothing more
    bounded = bool(said.action_low or said.action_high)
    for field, given, need in (
        ("action_low", said.action_low, width if bounded else 0),
        ("action_high", said.action_high, width if bounded else 0),
        ("observation_names", said.observation_names, seen if said.observation_names else 0),
    ):
        if len(given) != need:
            raise ImportDataError(
                f"{source}: meta gives {said.name} {len(given)} numbers or names as {field}, "
                f"it needs {need}"
            )
    chooses = bool(said.choices) or (kind in "iub" and not bounded)
    if chooses and (width != 1 or bounded):
        what = "bounds beside choices" if bounded else f"{width} numbers a step"
        raise ImportDataError(
            f"{source}: act/{said.name}: integer actions are choices, one number a step, got "
            f"{what}; write floats where they are none, or their bounds in meta"
        )
    return Agent(
        name=said.name,
        features=None if seen is None else said.observation_names or numbered(said.name, seen),
        width=width,
        choices=said.choices if chooses else None,
        low=said.action_low,
        high=said.action_high,
        asked=width == 1 and not chooses and not bounded,
    )


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
