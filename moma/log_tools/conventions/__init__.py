"""Does a dataset hold several conventions: does the team settle one choice in more than one way?

A convention is a joint way to act that no agent can change alone: elbow left or elbow right, drive
on the left or on the right. A dataset that mixes them has, in one situation, joint actions whose
probabilities are no product of the agents' own: every agent's marginal is in the data, their
product is not, and agents that are cloned one by one act on the product.

So the test is of independence given the situation (the joint state; features in standard
deviations of the whole dataset). One row per episode, rows of different episodes being independent.
(1) What the situation says of each agent's action is taken out by a leave-one-out smoother.
(2) `dependence` tests whether what is left of two agents goes together in neighbouring situations.
(3) The dataset holds several conventions where that is significant and strong and the situation
leaves a good part of both agents' actions open. Where no two situations are alike the smoother
cannot know what they say, what it leaves may be their part, and nothing is said.

What it cannot tell from conventions: exploration noise that agents share, a signal that both
remember and the state does not hold, and joint policies of different skill. In all of these the
product of the marginals is not what the team did, either.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.conventions.verdict import Look, Situations, Where, look
from moma_core import seeds
from moma_core.datasets.dataset import Dataset
from moma_core.datasets.mapped import take

__all__ = ["FEWEST", "Look", "Situations", "look", "looks"]
EPISODES = 600
"""Episodes that are tested, at most."""
TEAM = 8
"""Agents up to which they are that many: the work grows with both, squared."""
FEWEST = 40
"""Episodes that are needed."""


def looks(dataset: Dataset, scale: NDArray[np.float64], seed: int = 0) -> list[Look]:
    """Tests the first step and a later step, uniformly drawn, of every episode.

    Args:
        dataset: a sound one.
        scale: standard deviation of every feature of the state over the dataset, `[S]`.
        seed: of all draws.

    Returns:
        Nothing for a single agent or fewer than `FEWEST` episodes.
    """
    lengths = dataset.lengths
    random = np.random.default_rng(seeds.derive(seed, "conventions"))
    later = dataset.episode_start + random.integers(1, np.maximum(lengths, 2))
    count = max(FEWEST, EPISODES * TEAM // max(TEAM, len(dataset.spec.agents)))
    rows: dict[Where, NDArray[np.int64]] = {
        "first step": dataset.episode_start,
        "later step": later[lengths > 1],
    }
    found = []
    for where, candidates in rows.items():
        if len(dataset.spec.agents) > 1 and len(candidates) >= FEWEST:
            row = random.permutation(candidates)[:count]
            there = Situations(
                where=where,
                state=take(dataset.state, row + dataset.episode_of(row)),
                action=take(dataset.action, row),
            )
            found.append(look(dataset.spec, there, scale, seed))
    return found
