"""Episodes as a whole: how they end, what is filled in at their ends, who takes part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.blocks import Block, pieces
from moma.log_tools.findings.finding import FIRST, Finding, begins, first, listed, misshapen
from moma_core.datasets.dataset import Dataset
from moma_core.datasets.mapped import take

_SHARE = 0.2
"""Share of the terminated episodes with one length, the longest, that looks like a time limit."""
_FEW = 3
"""Fewer episodes than this are chance."""


def time_limits(dataset: Dataset) -> Iterator[Finding]:
    """Yields terminals that all come after the same, longest number of steps."""
    last, lengths = dataset.edges[1:] - 1, dataset.lengths
    terminal = take(dataset.terminated, last)
    longest = int(lengths.max())
    at_limit = terminal & (lengths == longest)
    count = int(at_limit.sum())
    if longest > 1 and count >= max(_FEW, _SHARE * terminal.sum()):
        yield Finding(
            severity="warning",
            what=f"terminated after exactly {longest} steps, the longest there is",
            count=count,
            unit="episodes",
            rows=tuple(int(row) for row in last[at_limit][:FIRST]),
            file="terminated.npy",
            meaning="a time limit marked as a terminal? Then mark it truncated: "
            "the value of what would have followed is not 0",
        )


class Presence:
    """Collects who moves and who acts in which episode, and episodes that end in zeros."""

    def __init__(self, dataset: Dataset) -> None:
        self._data, self._spec = dataset, dataset.spec
        agents = len(dataset.spec.agents)
        self._index = [np.array(index, np.int64) for index in dataset.spec.observation_index]
        self._moves = np.zeros((dataset.episodes, agents), np.bool_)
        self._anything = np.zeros(dataset.episodes, np.bool_)
        self._acts = np.zeros((dataset.episodes, agents), np.bool_)
        self._zero_end = np.zeros(dataset.episodes, np.bool_)

    def add(self, block: Block) -> None:
        """Takes the next steps in."""
        parts = block.parts
        episode = block.episode[parts]
        changed = np.not_equal(block.states[1:], block.states[:-1])[block.at]
        changed = np.logical_or.reduceat(changed, parts, axis=0)
        for agent, index in enumerate(self._index):
            self._moves[episode, agent] |= changed[:, index].any(axis=1)
        self._anything[episode] |= changed.any(axis=1)
        acts = np.asarray(block.action.any(axis=2))
        self._acts[episode] |= np.logical_or.reduceat(acts, parts, axis=0)
        zero = np.logical_not(block.states.any(axis=1))
        idle = zero[block.at] & zero[block.at + 1] & ~acts.any(axis=1)
        ends = np.append(parts[1:], len(block.episode)) - 1
        self._zero_end[episode] = idle[ends]  # a later block of the same episode has the last word

    def findings(self) -> Iterator[Finding]:
        """Yields zeros at the ends of episodes, then agents that seem not to be there."""
        several = self._data.lengths > 1
        padded = self._zero_end & several
        if padded.any():
            yield Finding(
                severity="warning",
                what="episodes that end in all-zero states and actions",
                count=int(padded.sum()),
                unit="episodes",
                rows=begins(self._data, padded),
                file="reward.npy",
                meaning="padding to one common length: cut the episodes where they truly ended",
            )
        still = ~self._moves & self._anything[:, None]
        yield from self._absent(still & several[:, None], "observation never changes")
        idle = ~self._acts & ~self._spec.chooses.numpy()
        yield from self._absent(idle & several[:, None], "action is always 0")

    def _absent(self, mask: NDArray[np.bool_], what: str) -> Iterator[Finding]:
        for agent, name in enumerate(self._spec.agents):
            count = int(mask[:, agent].sum())
            if count:
                yield Finding(
                    severity="warning",
                    what=f"{name}: its {what} in a whole episode",
                    count=count,
                    unit="episodes",
                    rows=begins(self._data, mask[:, agent]),
                    file="reward.npy",
                    meaning="was it there? An agent that is absent teaches the others to ignore it",
                )


def presence_marks(dataset: Dataset, present: NDArray[np.bool_]) -> Iterator[Finding]:
    """Yields which agents the log itself marks as absent, by `present.npy`, `[N+K A]`."""
    shape = (dataset.transitions + dataset.episodes, len(dataset.spec.agents))
    if wrong := misshapen("present", present, bool, shape, "one mark for each agent at each state"):
        yield wrong
        return
    absent, rows = np.zeros(shape[1], np.int64), tuple[int, ...]()
    for begin, part in pieces(present):
        absent += (~part).sum(axis=0)
        rows = (rows + first(~part, begin))[:FIRST]
    shares = zip(dataset.spec.agents, absent / shape[0], strict=True)
    names = [f"{name} ({share:.1%})" for name, share in shares if share]
    if names:
        yield Finding(
            severity="warning",
            what=f"agents marked as absent: {listed(names)}",
            count=int(absent.sum()),
            unit="marks",
            rows=rows,
            file="present.npy",
            meaning="training takes every agent as present: leave out the episodes, or the agent",
        )
