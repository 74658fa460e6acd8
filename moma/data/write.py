"""Writes a dataset directory, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moma.data.dataset import SCHEMA, Dataset
from moma.storage import new_directory
from moma.types import TaskSpec


class EpisodeWriter:
    """Collects episodes in memory and writes them as one dataset."""

    def __init__(self, spec: TaskSpec) -> None:
        self._spec = spec
        self._parts: dict[str, list[NDArray[np.generic]]] = {
            name: [] for name in ("state", "action", "reward", "terminated", "truncated")
        }
        self._lengths: list[int] = []

    def add(
        self,
        state: NDArray[np.float32],
        action: NDArray[np.float32],
        reward: NDArray[np.float32],
        *,
        terminated: bool,
    ) -> None:
        """Adds one episode of T steps that ended as it did or was truncated at its last step.

        Args:
            state: `[T+1 S]`.
            action: `[T A U]`, as executed: within the bounds.
            reward: `[T]`.
            terminated: whether the task itself ended the episode.
        """
        steps = len(reward)
        last = np.arange(steps) == steps - 1
        parts = (state, action, reward, last & terminated, last & (not terminated))
        for store, part in zip(self._parts.values(), parts, strict=True):
            store.append(part)
        self._lengths.append(steps)

    def write(self, path: Path, origin: Mapping[str, object]) -> Dataset:
        """Writes what was added to `path` and opens it again, checked."""
        meta = {"schema": SCHEMA, "task": asdict(self._spec), "origin": dict(origin)}
        with new_directory(path) as directory:
            for name, parts in self._parts.items():
                np.save(directory / f"{name}.npy", np.concatenate(parts), allow_pickle=False)
            start = np.concatenate([[0], np.cumsum(self._lengths)[:-1]]).astype(np.int64)
            np.save(directory / "episode_start.npy", start, allow_pickle=False)
            (directory / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
        return Dataset.load(path)
