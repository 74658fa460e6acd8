"""The layout for one's own logs, as npz and Parquet share it.

| name         | rows of T steps | what                                                 |
|--------------|-----------------|------------------------------------------------------|
| `obs/AGENT`  | T+1             | what the agent observes, of any width                |
| `state`      | T+1             | the global state; optional where there is `obs`      |
| `act/AGENT`  | T               | its action: floats, or an integer, a choice from 0   |
| `reward`     | T               | the team's, or `reward/AGENT` for each               |
| `terminated` | T               | True where the task itself ended the episode         |

Without any `obs/AGENT`, every agent sees the whole state; a log of one agent may have `act` in
place of `act/AGENT`. Agents come in the order of their actions. Optional `meta` is a JSON text:
`{"agents": [{"name": ..., "action_low": [...], "action_high": [...], "choices": 0}],
"state_names": [...]}`; without it bounds are the data's extremes and choices those seen.
`truncated`, `timestamp`, `mask/AGENT` and `avail/AGENT` may be there and are not kept: an episode
that did not terminate was truncated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moma.log_tools.importing.log import Episode, ImportDataError, Layout, Log, columns, numbered
from moma_core import documents


@dataclass(frozen=True, kw_only=True)
class AgentMeta:
    """What `meta` says of an agent."""

    name: str
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    choices: int = 0
    """Number of choices of a discrete action; 0 for a continuous one."""


@dataclass(frozen=True, kw_only=True)
class Meta:
    """The document `meta`."""

    agents: tuple[AgentMeta, ...] = ()
    state_names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Names:
    """Which of a log's arrays are what, in the order of a row's columns."""

    agents: tuple[str, ...]
    features: tuple[str, ...]
    actions: tuple[str, ...]
    rewards: tuple[str, ...]


def names(source: str, found: Sequence[str]) -> Names:
    """Sorts the names of a log's arrays.

    Raises:
        ImportDataError: what is needed is missing.
    """
    actions = tuple(n for n in found if n.startswith("act/")) or (("act",) * ("act" in found))
    agents = tuple(n.removeprefix("act/") if n != "act" else "agent_0" for n in actions)
    seen = tuple(f"obs/{agent}" for agent in agents) if any(map(_is_seen, found)) else ()
    state = ("state",) * ("state" in found)
    rewards = ("reward",) if "reward" in found else tuple(f"reward/{a}" for a in agents)
    missing = [n for n in (*seen, *rewards, "terminated") if n not in found]
    if not actions or not (seen or state) or missing:
        what = ", ".join(missing) or ("act/AGENT" if not actions else "obs/AGENT or state")
        raise ImportDataError(f"{source} has no {what}; there are: {', '.join(found) or 'none'}")
    return Names(agents=agents, features=(*state, *seen), actions=actions, rewards=rewards)


def _is_seen(name: str) -> bool:
    return name.startswith("obs/")


def layout(
    source: str, names: Names, widths: Mapping[str, int], kinds: Mapping[str, str], text: str
) -> Layout:
    """Makes the layout of a log.

    Args:
        source: the file, for messages.
        names: its arrays.
        widths: columns of each.
        kinds: numpy's letter for the dtype of each.
        text: the document `meta`, empty where there is none.

    Raises:
        ImportDataError: the document or the actions make no sense.
    """
    meta = _meta(source, names, text)
    state = widths["state"] if "state" in names.features else 0
    seen = [widths[name] for name in names.features if name != "state"]
    acted = [widths[name] for name in names.actions]
    discrete = [kinds[name] in "iu" for name in names.actions]
    for name, agent, width, chooses in zip(
        names.actions, meta.agents, acted, discrete, strict=True
    ):
        if chooses and width != 1:
            raise ImportDataError(
                f"{source}: {name}: integer actions are choices, one number a step, got {width}; "
                "write floats where they are none"
            )
        if agent.choices and not chooses:
            raise ImportDataError(
                f"{source}: {name}: meta gives {agent.name} {agent.choices} choices, its actions "
                "are floats; write the number of the choice as an integer"
            )
    named = meta.state_names if len(meta.state_names) == state else numbered("state", state)
    needed = [0 if chooses else width for width, chooses in zip(acted, discrete, strict=True)]
    said = list(zip(meta.agents, discrete, strict=True))
    bounds = (
        tuple(() if chooses else agent.action_low for agent, chooses in said),
        tuple(() if chooses else agent.action_high for agent, chooses in said),
    )
    whole = tuple(range(state))
    return Layout(
        agents=names.agents,
        features=(
            *named,
            *(f for a, w in zip(names.agents, seen, strict=False) for f in numbered(a, w)),
        ),
        observations=columns(seen, state) if seen else (whole,) * len(names.agents),
        action_widths=tuple(acted),
        state_width=state,
        bounds=bounds if all([len(row) for row in side] == needed for side in bounds) else None,
        choices=tuple(agent.choices if chooses else None for agent, chooses in said),
    )


def read(
    path: Path,
    suffix: str,
    describe: Callable[[Path], tuple[Names, Layout, int]],
    episodes: Callable[[list[Path], Names], Iterator[Episode]],
) -> Log:
    """Opens a file, or all files of a directory, as one log.

    Args:
        path: the file or directory.
        suffix: of the files in a directory, which are read in the order of their names.
        describe: says what a file's arrays are, and how many steps it has.
        episodes: reads the files from the beginning.

    Raises:
        ImportDataError: there is none, or one is of another team than the first.
    """
    files = sorted(path.glob(f"*{suffix}")) if path.is_dir() else [path]
    if not files:
        raise ImportDataError(f"{path} holds no {suffix} file")
    described = {file: describe(file) for file in files}
    (first, (names, layout, _)), *others = described.items()
    for file, said in others:
        if said[:2] != (names, layout):
            raise ImportDataError(
                f"{file} is of another team than {first}: {said[:2]} is not {(names, layout)}"
            )
    return Log(
        source=str(path),
        layout=layout,
        rows=sum(steps for _, _, steps in described.values()),
        episodes=lambda: episodes(files, names),
    )


def _meta(source: str, names: Names, text: str) -> Meta:
    """The document, its agents in the order of the log's; those of whom it says nothing, plain."""
    try:
        meta = documents.parse(Meta, text or "{}", "meta")
    except ValueError as error:
        raise ImportDataError(f"{source}: {error}") from error
    said = {agent.name: agent for agent in meta.agents}
    if strange := set(said) - set(names.agents):
        raise ImportDataError(f"{source}: meta names {sorted(strange)}, agents are {names.agents}")
    agents = tuple(said.get(name, AgentMeta(name=name)) for name in names.agents)
    return Meta(agents=agents, state_names=meta.state_names)
