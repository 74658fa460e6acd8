"""A dataset: a directory of `meta.json` and `.npy` arrays, memory-mapped. It knows no task's file.

Episodes lie end to end. Episode k has T_k steps; its actions, rewards and flags are rows
`episode_start[k]` up to `episode_start[k + 1]` of the step arrays, and its T_k + 1 states begin
at row `episode_start[k] + k` of `state`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from moma_core import documents
from moma_core.datasets.mapped import Columns, Moments, chunks, take
from moma_core.datasets.validate import DatasetError, check, check_shapes
from moma_core.storage import digest
from moma_core.types import TaskSpec, Transitions

_STILL = 1e-6
"""A feature with a smaller standard deviation counts as one that does not vary."""
SCHEMA = "moma-dataset-1"
ARRAYS = ("state", "action", "reward", "terminated", "truncated", "episode_start")
BESIDE = ("timestamp", "present", "allowed")
"""Arrays that may lie beside the others, with a row for each state: seconds (float64), which agents
are there `[A]`, which choices each one has `[A U]`. Nothing is trained on them."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Episodes end to end, read-only."""

    path: Path
    spec: TaskSpec
    origin: Mapping[str, object]
    """Maker and means of the dataset: free-form."""
    state: NDArray[np.float32] | Columns
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    episode_start: NDArray[np.int64]

    @classmethod
    def load(cls, path: Path, *, checked: bool = True) -> Dataset:
        """Opens a dataset; unless `checked`, its arrays fit together and may hold anything.

        Raises:
            DatasetError: naming file, field, row and value of the first fault.
        """
        meta = _meta(path / "meta.json")
        spec = _spec(path, meta)
        arrays = {name: open_array(path / f"{name}.npy") for name in ARRAYS}
        (check if checked else check_shapes)(path, spec, arrays)
        return cls(path=path, spec=spec, origin=meta.get("origin", {}), **arrays)

    @property
    def transitions(self) -> int:
        """Steps in all episodes."""
        return len(self.reward)

    @property
    def episodes(self) -> int:
        """Episodes."""
        return len(self.episode_start)

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """The first step of every episode and, last, the number of steps, `[K+1]`."""
        return np.append(self.episode_start, self.transitions)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of every episode, `[K]`."""
        return np.diff(self.edges)

    @cached_property
    def terminals(self) -> NDArray[np.int64]:
        """The steps at which the task itself ended an episode."""
        last = self.edges[1:] - 1
        ended: NDArray[np.bool_] = take(self.terminated, last)
        return last[ended]

    def episode_of(self, row: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the episode of every one of these steps."""
        return np.searchsorted(self.episode_start, row, side="right") - 1

    def rows(self, index: NDArray[np.int64]) -> Transitions:
        """Returns the steps `index` as tensors, in that order."""
        episode = self.episode_of(index)
        at = index + episode
        return Transitions(
            state=torch.from_numpy(take(self.state, at)),
            action=torch.from_numpy(take(self.action, index)),
            reward=torch.from_numpy(take(self.reward, index)),
            next_state=torch.from_numpy(take(self.state, at + 1)),
            terminated=torch.from_numpy(take(self.terminated, index)),
            truncated=torch.from_numpy(take(self.truncated, index)),
            episode=torch.from_numpy(episode),
            age=torch.from_numpy(index - self.episode_start[episode]),
        )

    def episode(
        self, number: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Returns the states `[T+1 S]`, actions `[T A U]` and rewards `[T]` of one episode."""
        steps = self._steps(number)
        state = slice(steps.start + number, steps.stop + number + 1)
        return self.state[state], self.action[steps], self.reward[steps]

    def ended(self, number: int) -> bool:
        """Says whether the task itself ended this episode."""
        return bool(self.terminated[self._steps(number).stop - 1])

    def _steps(self, number: int) -> slice:
        return slice(int(self.edges[number]), int(self.edges[number + 1]))

    def side_by_side(self) -> Dataset:
        """Returns the data with all agents' observations, copies included, as the state."""
        index = [i for own in self.spec.observation_index for i in own]
        return replace(self, spec=self.spec.side_by_side(), state=Columns(self.state, index))

    def state_moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns mean and standard deviation of every feature over all states, last ones too."""
        moments = Moments(self.spec.state_width)
        for _, part in chunks(self.state):
            moments.add(len(part), part.mean(0), part.std(0))
        return moments.mean.astype(np.float32), moments.std.astype(np.float32)

    def units(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns mean and deviation to standardise states by: 1 for what does not vary."""
        mean, std = self.state_moments()
        return mean, np.where(std > _STILL, std, np.float32(1))

    def returns(self) -> NDArray[np.float64]:
        """Returns the undiscounted return of every episode, shape `[K]`, in bounded memory."""
        total = np.zeros(self.episodes)
        for begin, reward in chunks(self.reward):
            episode = self.episode_of(np.arange(begin, begin + len(reward)))
            parts = np.flatnonzero(np.diff(episode, prepend=-1))
            total[episode[parts]] += np.add.reduceat(reward.astype(np.float64), parts)
        return total


def spec_of(path: Path) -> TaskSpec:
    """Returns whose dataset lies at `path`; its arrays are not read.

    Raises:
        DatasetError: `meta.json` is missing or does not say it.
    """
    return _spec(path, _meta(path / "meta.json"))


def step_of(path: Path) -> float | None:
    """Returns how many seconds a step of the dataset at `path` takes; None: nobody says so.

    Raises:
        DatasetError: `meta.json` is missing, or holds no duration there.
    """
    found = _meta(path / "meta.json").get("seconds_per_step")
    if found is None:
        return None
    if type(found) not in (int, float) or not 0 < found < math.inf:
        raise DatasetError(f"{path / 'meta.json'}: seconds_per_step is {found!r}, no duration")
    return float(found)


def digest_of(path: Path) -> str:
    """Returns the SHA-256 of the dataset at `path`, in hex: of the digests of all its files."""
    parts = [digest(path / name) for name in ("meta.json", *(f"{name}.npy" for name in ARRAYS))]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _spec(path: Path, meta: Mapping[str, Any]) -> TaskSpec:
    try:
        return documents.build(TaskSpec, _per_agent(meta["task"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path / 'meta.json'}: task: {error}") from error


def _per_agent(task: Any) -> Any:  # noqa: ANN401 - JSON
    """Writes a team's single `discrete` out for each agent.

    Datasets written before agents could differ have one true or false for the team. They are their
    owners' and outlive versions, so they are read here; models and runs are made from them anew.
    """
    match task:
        case {"discrete": bool(everyone), "agents": list(agents)}:
            return {**task, "discrete": [everyone] * len(agents)}
    return task


def _meta(path: Path) -> dict[str, Any]:
    try:
        meta = documents.read(path)
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read ({error.strerror}); is this a dataset? A log in "
            f"another format is imported first: moma data import {path.parent} --out DIR"
        ) from error
    except ValueError as error:
        raise DatasetError(str(error)) from error
    if not isinstance(meta, dict) or meta.get("schema") != SCHEMA:
        found = meta.get("schema") if isinstance(meta, dict) else type(meta).__name__
        raise DatasetError(f"{path}: schema is {found!r}, need {SCHEMA!r}")
    return meta


def open_array(path: Path) -> NDArray[Any]:
    """Maps a `.npy` file, read-only.

    Raises:
        DatasetError: it cannot be read, or holds anything but a plain array with rows.
    """
    try:
        documents.check_file(path)
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise DatasetError(f"{path} is no plain .npy array: {error}") from error
    if array.ndim == 0:
        raise DatasetError(f"{path} is no plain .npy array with an axis of rows")
    return array
