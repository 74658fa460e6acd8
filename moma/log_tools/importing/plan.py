"""From what is known of a log to the team's spec: derived, or a task's own."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress

import numpy as np
from jaxtyping import Float32

from moma.log_tools.importing.log import Bounds, ImportDataError, Layout, Log, columns
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


def derive(log: Log, survey: Survey, name: str, time_limit: int | None) -> Plan:
    """Makes the spec of a team that no task describes.

    The joint state is the global state, where the log has one, and every agent's observations,
    less columns that equal an earlier one in every row and less padding.

    Args:
        log: opened.
        survey: what its rows hold.
        name: the task's.
        time_limit: see `Plan`.
    """
    layout, padding, twin = log.layout, survey.padding(), survey.twin
    state = [c for c in range(len(twin)) if twin[c] == c and not padding[c]]
    place = {column: i for i, column in enumerate(state)}
    action, (low, high), notes = _actions(layout, survey)
    spec = TaskSpec(
        name=name,
        agents=layout.agents,
        state_names=tuple(layout.features[c] for c in state),
        observation_index=tuple(
            tuple(place[int(twin[c])] for c in own if not padding[c]) for own in layout.observations
        ),
        action_low=low,
        action_high=high,
        episode_limit=survey.longest,
        discrete=layout.discrete,
    )
    copies = len(twin) - len(state) - int(padding.sum())
    notes.append(f"joint state: {len(state)} of {len(twin)} columns, {copies} are copies of others")
    if padding.any():
        notes.append(f"{int(padding.sum())} columns of padding (0 or -inf in every row) dropped")
    return Plan(
        spec=spec, state=tuple(state), action=action, time_limit=time_limit, notes=tuple(notes)
    )


def _actions(layout: Layout, survey: Survey) -> tuple[ActionIndex, Bounds, list[str]]:
    """The columns of each agent's action, its bounds, and where they are from."""
    own, notes = columns(list(layout.action_widths)), []
    low, high = survey.action_low.copy(), survey.action_high.copy()
    idle = (low == high) & ~np.repeat(layout.discrete, layout.action_widths)
    if layout.padded and (idle & (low == 0)).any():
        used = ~(idle & (low == 0))
        own = tuple(tuple(c for c in index if used[c]) or index[:1] for index in own)
        notes.append(f"{int((~used).sum())} action columns of padding (always 0) dropped")
    bounds, source = layout.bounds, "the log's own"
    if bounds is None:
        low[idle], high[idle] = low[idle] - 1, high[idle] + 1
        widened = int(sum(idle[list(index)].sum() for index in own))
        also = f"; {widened} that never change are widened by 1" if widened else ""
        source = f"the data's extremes{also}"
        lowest, highest = (
            tuple(tuple(float(side[c]) for c in index) for index in own) for side in (low, high)
        )
        bounds = lowest, highest
    if any(layout.discrete):
        choosing = ", ".join(compress(layout.agents, layout.discrete))
        also = "" if all(layout.discrete) else f" of {choosing}; of the others {source}"
        bounds, source = _one_hot(layout, survey, bounds), f"one-hot choices{also}"
    return own, bounds, [*notes, f"action bounds: {source}"]


def _one_hot(layout: Layout, survey: Survey, bounds: Bounds) -> Bounds:
    """The bounds with 0 and 1 for each choice of the agents that choose."""
    first = np.cumsum([0, *layout.action_widths])
    low, high = map(list, bounds)
    for agent, said in enumerate(layout.choices):
        if said is not None:
            count = said or int(survey.action_high[first[agent]]) + 1
            low[agent], high[agent] = (0.0,) * count, (1.0,) * count
    return tuple(low), tuple(high)


def split(log: Log, spec: TaskSpec, index: ActionIndex | None, time_limit: int | None) -> Plan:
    """Splits a log by a task: the first columns of its state are the task's joint state.

    Args:
        log: single-agent, or with a global state and the task's agents.
        spec: the task's.
        index: which column of a flat action drives which dimension; None: in order.
        time_limit: see `Plan`.

    Raises:
        ImportDataError: the widths do not fit.
    """
    layout = log.layout
    state = tuple(range(layout.state_width))
    if not state and len(layout.agents) == 1:
        state = layout.observations[0]
    if len(state) < spec.state_width:
        raise ImportDataError(
            f"{log.source}: task {spec.name} needs a state of {spec.state_width} columns, the log "
            f"has {len(state)}, {len(layout.agents)} agents"
        )
    first = f"; the first {spec.state_width} of {len(state)} columns are its state"
    note = f"split by task {spec.name}{first if len(state) > spec.state_width else ''}"
    return Plan(
        spec=spec,
        state=state[: spec.state_width],
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
    if (layout.discrete, layout.action_widths) == (spec.discrete, tuple(numbers)):
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
    spec: TaskSpec, flat: Float32[np.ndarray, "T W"], index: ActionIndex
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
