"""Actions against what the task says of them: bounds, one-hot choices, saturation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from moma.log_tools.blocks import pieces
from moma.log_tools.findings.finding import FIRST, Finding, first, misshapen
from moma_core.datasets.dataset import Dataset
from moma_core.datasets.mapped import take
from moma_core.datasets.validate import SLACK
from moma_core.types import TaskSpec

_AT = 1e-6
"""How near to a bound an action counts as at it, in widths of the interval."""
_SOME, _MOST = 0.1, 0.5
"""Shares of actions at a bound from which on it is noted and warned of."""


@dataclass(kw_only=True)
class _Tally:
    """Counts over `[A U]` and the first rows where they are not 0."""

    count: NDArray[np.int64]
    rows: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)

    def add(self, mask: NDArray[np.bool_], begin: int) -> None:
        self.count += mask.sum(axis=0)
        for agent, dim in np.argwhere(mask.any(axis=0)).tolist():
            known = self.rows.get((agent, dim), ())
            if len(known) < FIRST:
                self.rows[agent, dim] = (known + first(mask[:, agent, dim], begin))[:FIRST]


def actions(spec: TaskSpec, action: NDArray[np.float32]) -> Iterator[Finding]:
    """Goes through the actions once and yields what is wrong with them, then what is odd."""
    low, high = (bound.numpy() for bound in spec.action_bounds)
    numbers = (spec.action_mask & ~spec.chooses[:, None]).numpy()
    chooses, near = spec.chooses.numpy(), _AT * (high - low)
    shape = (len(spec.agents), spec.action_width)
    beyond, bound, choice = (_Tally(count=np.zeros(shape, np.int64)) for _ in range(3))
    for begin, part in pieces(action):
        beyond.add((part < low - SLACK) | (part > high + SLACK), begin)
        if chooses.any():
            wrong = chooses & ~spec.one_hot(torch.from_numpy(np.array(part))).numpy()
            choice.add(np.repeat(wrong[:, :, None], shape[1], axis=2), begin)
        bound.add(((part <= low + near) | (part >= high - near)) & numbers, begin)
    yield from _beyond(spec, beyond)
    yield from _choices(spec, choice)
    yield from _saturated(spec, bound, len(action))


def _beyond(spec: TaskSpec, tally: _Tally) -> Iterator[Finding]:
    for (agent, dim), rows in sorted(tally.rows.items()):
        own = dim < len(spec.action_low[agent])
        bounds = (
            f"[{spec.action_low[agent][dim]:g}, {spec.action_high[agent][dim]:g}]" if own else "0"
        )
        yield Finding(
            severity="error",
            what=f"action of {spec.agents[agent]}, dimension {dim}: not in {bounds}",
            count=int(tally.count[agent, dim]),
            unit="rows",
            rows=rows,
            file="action.npy",
            meaning="clip the actions, or widen the task's bounds to what the agent may do"
            if own
            else "the agent has no such dimension: set the padding to 0",
        )


def _choices(spec: TaskSpec, tally: _Tally) -> Iterator[Finding]:
    for agent, name in enumerate(spec.agents):
        if tally.count[agent, 0]:
            yield Finding(
                severity="error",
                what=f"action of {name}: not one-hot",
                count=int(tally.count[agent, 0]),
                unit="rows",
                rows=tally.rows[agent, 0],
                file="action.npy",
                meaning="a choice is a single 1 among 0s; all 0: was the agent there at all?",
            )


def _saturated(spec: TaskSpec, tally: _Tally, steps: int) -> Iterator[Finding]:
    for (agent, dim), rows in sorted(tally.rows.items()):
        share = tally.count[agent, dim] / steps
        if share >= _SOME:
            yield Finding(
                severity="warning" if share >= _MOST else "note",
                what=f"action of {spec.agents[agent]}, dimension {dim}: at a bound in {share:.1%}",
                count=int(tally.count[agent, dim]),
                unit="rows",
                rows=rows,
                file="action.npy",
                meaning="bang-bang control, or a controller that wanted more than it was given",
            )


def allowed(dataset: Dataset, marks: NDArray[np.bool_]) -> Iterator[Finding]:
    """Yields choices that were made and, by `allowed.npy`, `[N+K A U]`, were not to be had."""
    spec = dataset.spec
    shape = (dataset.transitions + dataset.episodes, len(spec.agents), spec.action_width)
    if wrong := misshapen("allowed", marks, bool, shape, "one mark for each choice at each state"):
        yield wrong
        return
    tally = _Tally(count=np.zeros(shape[1:], np.int64))
    for begin, part in pieces(dataset.action):
        row = np.arange(begin, begin + len(part))
        there = take(marks, row + dataset.episode_of(row))
        tally.add((part == 1) & ~there & spec.chooses.numpy()[:, None], begin)
    for (agent, choice), rows in sorted(tally.rows.items()):
        yield Finding(
            severity="warning",
            what=f"action of {spec.agents[agent]}: choice {choice} was made and not allowed",
            count=int(tally.count[agent, choice]),
            unit="rows",
            rows=rows,
            file="action.npy",
            meaning="marks and actions are not of the same step, or the marks are wrong",
        )
