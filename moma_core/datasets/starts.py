"""Where imagined episodes begin: at the beginning of episodes of the data, or inside them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from moma_core import seeds
from moma_core.datasets.dataset import Dataset
from moma_core.datasets.mapped import take
from moma_core.types import History, StartStates

_WHETHER, _EPISODE, _ROW = 16, 17, 18
"""Streams of a rollout's start: whether an episode's first state, of which one; else which row."""


class StartSampler:
    """Draws start states with the history that each agent would remember there.

    Args:
        dataset: where starts are drawn from.
        history: frames that an agent remembers, H.
        episode_starts: share of the starts that are first states of episodes, 0 to 1.
    """

    def __init__(self, dataset: Dataset, history: int, episode_starts: float) -> None:
        self._data = dataset
        self._history = history
        self._episode_starts = episode_starts

    def draw(self, seed: Int64[Tensor, " B"]) -> StartStates:
        """Draws a start for each seed, which depends on that seed alone.

        A share `episode_starts` of them is the first state of a uniformly drawn episode; the
        others are uniformly drawn rows of the data.
        """
        data = self._data

        def drawn(stream: int) -> Int64[Tensor, " B"]:
            return seeds.along(seed, torch.zeros_like(seed), stream)

        at_start = seeds.uniform(drawn(_WHETHER)).numpy() < self._episode_starts
        first = data.episode_start[seeds.choose(drawn(_EPISODE), data.episodes).numpy()]
        anywhere = seeds.choose(drawn(_ROW), data.transitions).numpy()
        row = np.where(at_start, first, anywhere)
        episode = data.episode_of(row)
        return StartStates(
            state=torch.from_numpy(take(data.state, row + episode)),
            history=histories(data, row, self._history),
            age=torch.from_numpy(row - data.episode_start[episode]),
            seed=seed,
        )


def histories(
    dataset: Dataset,
    row: NDArray[np.int64],
    frames: int,
    episode: NDArray[np.int64] | None = None,
) -> History:
    """Returns what every agent remembers at some steps: the frames before each in its episode.

    Args:
        dataset: the log.
        row: the steps, `[B]`.
        frames: H.
        episode: of each, `[B]`, which tells an episode's end from the next one's first step: at
            its last state the step is the one that would have come; None: no such ends.
    """
    spec = dataset.spec
    episode = dataset.episode_of(row) if episode is None else episode
    past = row[:, None] + np.arange(-frames, 0)
    exists = past >= dataset.episode_start[episode][:, None]
    past = np.where(exists, past, 0)
    state = take(dataset.state, past + episode[:, None] * exists)
    action = torch.from_numpy(take(dataset.action, past))
    found = torch.cat([spec.observe(torch.from_numpy(state)), action], dim=-1)
    real = torch.from_numpy(exists)
    found = found * real[:, :, None, None]
    return History(frames=found.permute(0, 2, 1, 3).contiguous(), exists=real)
