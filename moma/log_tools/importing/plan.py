"""From what is known of a log to the team's spec: derived, or a task's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
from jaxtyping import Float, Float32

from moma.log_tools.formats import Whole
from moma.log_tools.importing.log import Agent, ImportDataError, Layout, Log, columns
from moma.log_tools.importing.survey import Survey
from moma_core.types import TaskSpec

ActionIndex = tuple[tuple[int, ...], ...]
"""Per agent, which column of the flat action each dimension of its action is."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How rows of a log become rows of a dataset."""

    spec: TaskSpec
    state: tuple[int, ...]
    """Columns of features that are the joint state."""
    action: ActionIndex
    time_limit: int | None
    """Length of episodes that ended as terminated and in truth ran out of time."""
    notes: tuple[str, ...]


def derive(
    log: Log, survey: Survey, name: str, time_limit: int | None, whole: Whole | None
) -> Plan:
    """Makes the spec of a team that no task describes.

    The joint state is the global state, where the log has one, and every agent's observations,
    less columns that equal an earlier one in every row and less padding.

    Args:
        log: opened.
        survey: what its rows hold.
        name: the task's.
        time_limit: see `Plan`.
        whole: what floats are that are whole numbers; None: ask.
    """
    layout, padding, twin = log.layout, survey.padding(), survey.twin
    agents = _answered(log, survey, whole)
    state = [c for c in range(len(twin)) if twin[c] == c and not padding[c]]
    place = {column: i for i, column in enumerate(state)}
    action, (low, high), notes = _actions(layout, agents, survey)
    offset = survey.offset[state]
    spec = TaskSpec(
        name=name,
        agents=layout.names,
        state_names=tuple(layout.features[c] for c in state),
        observation_index=tuple(
            tuple(place[int(twin[c])] for c in own if not padding[c]) for own in layout.observations
        ),
        action_low=low,
        action_high=high,
        episode_limit=survey.longest,
        discrete=tuple(agent.choices is not None for agent in agents),
        state_offset=tuple(offset.tolist()) if offset.any() else (),
    )
    copies = len(twin) - len(state) - int(padding.sum())
    notes.append(f"joint state: {len(state)} of {len(twin)} columns, {copies} are copies of others")
    if padding.any():
        notes.append(f"{int(padding.sum())} columns of padding (0 or -inf in every row) dropped")
    for i in np.flatnonzero(offset).tolist():
        notes.append(
            f"{offset[i]:.17g} is taken off {spec.state_names[i]}, of whose changes float32 would "
            "lose too much; policies see what is left"
        )
    return Plan(
        spec=spec, state=tuple(state), action=action, time_limit=time_limit, notes=tuple(notes)
    )


def _answered(log: Log, survey: Survey, whole: Whole | None) -> tuple[Agent, ...]:
    """The agents, once it is known whether those with whole floats choose.

    Raises:
        ImportDataError: nobody has said it.
    """
    agents, first = list(log.layout.agents), np.cumsum([0, *log.layout.action_widths])
    for i, agent in enumerate(agents):
        low, high = survey.action_low[first[i]], survey.action_high[first[i]]
        if not agent.asked or not survey.whole[first[i]] or low < 0 or low == high:
            continue
        if whole is None:
            raise ImportDataError(
                f"{log.source}: all actions of {agent.name} are whole numbers, {low:g} to "
                f"{high:g}, stored as floats: is each the number of a choice, or an amount? Say "
                "--whole choices or --whole continuous"
            )
        agents[i] = replace(agent, choices=0 if whole == "choices" else None)
    return tuple(agents)


Bounds = tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]


def _actions(
    layout: Layout, agents: tuple[Agent, ...], survey: Survey
) -> tuple[ActionIndex, Bounds, list[str]]:
    """The columns of each agent's action, its bounds, and where they are from."""
    own, notes = columns(list(layout.action_widths)), []
    low, high = survey.action_low.copy(), survey.action_high.copy()
    chooses = [agent.choices is not None for agent in agents]
    idle = (low == high) & ~np.repeat(chooses, layout.action_widths)
    if layout.padded and (idle & (low == 0)).any():
        used = ~(idle & (low == 0))
        own = tuple(tuple(c for c in index if used[c]) or index[:1] for index in own)
        notes.append(f"{int((~used).sum())} action columns of padding (always 0) dropped")
    first = [index[0] for index in own]
    guessed = [not c and not agent.low for c, agent in zip(chooses, agents, strict=True)]
    low[idle], high[idle] = low[idle] - 1, high[idle] + 1
    widened = sum(int(idle[list(index)].sum()) for index in compress(own, guessed))
    counts = [a.choices or int(high[c]) + 1 for a, c in zip(agents, first, strict=True)]
    lowest, highest = (
        tuple(
            (edge,) * counts[i] if chooses[i] else said or tuple(float(side[c]) for c in own[i])
            for i, said in enumerate(given)
        )
        for side, edge, given in (
            (low, 0.0, [agent.low for agent in agents]),
            (high, 1.0, [agent.high for agent in agents]),
        )
    )
    source = _source(agents, chooses, guessed, widened)
    return own, (lowest, highest), [*notes, f"action bounds: {source}"]


def _source(
    agents: tuple[Agent, ...], chooses: list[bool], guessed: list[bool], widened: int
) -> str:
    """Says where the bounds are from."""
    also = f"; {widened} that never change are widened by 1" if widened else ""
    source = f"the data's extremes{also}" if any(guessed) else "the log's own"
    acting = len(agents) - sum(chooses)
    if any(guessed) and sum(guessed) < acting:
        names = ", ".join(agent.name for agent in compress(agents, guessed))
        source = f"the log's own; of {names} {source}"
    if not any(chooses):
        return source
    choosing = ", ".join(agent.name for agent in compress(agents, chooses))
    also = "" if all(chooses) else f" of {choosing}; of the others {source}"
    return f"one-hot choices{also}"


def split(
    log: Log, survey: Survey, spec: TaskSpec, index: ActionIndex | None, time_limit: int | None
) -> Plan:
    """Splits a log by a task: the first columns of its state are the task's joint state.

    Args:
        log: single-agent, or with a global state and the task's agents.
        survey: what its rows hold.
        spec: the task's.
        index: which column of a flat action drives which dimension; None: in order.
        time_limit: see `Plan`.

    Raises:
        ImportDataError: the widths do not fit, or numbers do not in the task's own units.
    """
    layout = log.layout
    state = tuple(range(len(layout.state)))
    if not state and len(layout.agents) == 1:
        state = layout.observations[0]
    if len(state) < spec.state_width:
        raise ImportDataError(
            f"{log.source}: task {spec.name} needs a state of {spec.state_width} columns, the log "
            f"has {len(state)}, {len(layout.agents)} agents"
        )
    first = f"; the first {spec.state_width} of {len(state)} columns are its state"
    note = f"split by task {spec.name}{first if len(state) > spec.state_width else ''}"
    state = state[: spec.state_width]
    if far := [layout.features[c] for c in state if survey.offset[c]]:
        raise ImportDataError(
            f"{log.source}: float32 would lose the changes of {', '.join(far)}, and task "
            f"{spec.name} has units of its own: import without --task, or store them nearer to 0"
        )
    return Plan(
        spec=spec,
        state=state,
        action=_fit(log, spec, index),
        time_limit=time_limit,
        notes=(note, "action bounds: the task's"),
    )


def _fit(log: Log, spec: TaskSpec, index: ActionIndex | None) -> ActionIndex:
    """Which column of the log's actions is which dimension of which of the task's agents."""
    layout, widths = log.layout, tuple(len(low) for low in spec.action_low)
    if not any((*spec.discrete, *layout.discrete)) and layout.action_widths == (sum(widths),):
        return index or columns(list(widths))
    numbers = [1 if chooses else w for w, chooses in zip(widths, spec.discrete, strict=True)]
    kinds = tuple(  # of floats of which the log says nothing, the task does
        theirs if agent.asked else agent.choices is not None
        for agent, theirs in zip(layout.agents, spec.discrete, strict=False)
    )
    if (kinds, layout.action_widths) == (spec.discrete, tuple(numbers)):
        return columns(numbers)
    raise ImportDataError(
        f"{log.source}: task {spec.name} needs {_kinds(spec.discrete)} actions of widths {widths}, "
        f"the log has {_kinds(layout.discrete)} ones of widths {layout.action_widths}"
    )


def _kinds(discrete: tuple[bool, ...]) -> str:
    """One word where all agents are alike, else one for each."""
    words = ["discrete" if chooses else "continuous" for chooses in discrete]
    return words[0] if len(set(words)) == 1 else ", ".join(words)


def split_actions(
    spec: TaskSpec, flat: Float[np.ndarray, "T W"], index: ActionIndex
) -> Float32[np.ndarray, "T A U"]:
    """Returns every agent's action, zero in the padding; choices become one-hot.

    Args:
        spec: the team.
        flat: the log's actions; of an agent that chooses one column, the number of the choice.
        index: see `ActionIndex`.

    Raises:
        ImportDataError: a choice that the agent does not have.
    """
    action = np.zeros((len(flat), len(spec.agents), spec.action_width), np.float32)
    for agent, own in enumerate(index):
        if not spec.discrete[agent]:
            action[:, agent, : len(own)] = flat[:, own]
            continue
        choice, count = flat[:, own[0]], len(spec.action_low[agent])
        bad = (choice != np.floor(choice)) | (choice < 0) | (choice >= count)
        if bad.any():
            raise ImportDataError(
                f"{spec.agents[agent]} has {count} choices, one of its actions is "
                f"{choice[bad][0]}; they are numbered from 0"
            )
        action[np.arange(len(flat)), agent, choice.astype(np.int64)] = 1
    return action
