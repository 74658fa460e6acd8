"""What every dataset must fulfil; the first fault is named by file, field, row and value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from moma_core.checks import not_one_hot
from moma_core.datasets.mapped import chunks
from moma_core.types import TaskSpec

_KINDS = {
    "state": np.float32,
    "action": np.float32,
    "reward": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "episode_start": np.int64,
}
SLACK = 1e-5
"""How far an action may pass its bound: float32 rounding, no more."""


class DatasetError(ValueError):
    """A dataset that cannot be trusted."""


def check(path: Path, spec: TaskSpec, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Checks dtypes, shapes, episode boundaries, finiteness and actions, in this order.

    Args:
        path: the dataset's directory, for messages.
        spec: the team.
        arrays: the dataset's arrays by name.

    Raises:
        DatasetError: at the first fault.
    """
    check_shapes(path, spec, arrays)
    for fault in misplaced(path, arrays, spec.episode_limit):
        raise DatasetError(fault)
    for name in ("state", "action", "reward"):
        _check_finite(path, name, arrays[name])
    if any(spec.discrete):
        _check_one_hot(path, spec, arrays["action"])
    if not all(spec.discrete):
        _check_bounds(path, spec, arrays["action"])


def check_shapes(path: Path, spec: TaskSpec, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Checks that the arrays fit together, whatever they hold.

    Args:
        path: the dataset's directory, for messages.
        spec: the team.
        arrays: the dataset's arrays by name.

    Raises:
        DatasetError: naming every array of another dtype or shape than the task has.
    """
    if faults := list(_misshapen(path, spec, arrays)):
        raise DatasetError("; ".join(faults))


def _misshapen(path: Path, spec: TaskSpec, arrays: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    steps, episodes = len(arrays["reward"]), len(arrays["episode_start"])
    agents, width = len(spec.agents), spec.action_width
    shapes = {
        "state": (steps + episodes, spec.state_width),
        "action": (steps, agents, width),
        "reward": (steps,),
        "terminated": (steps,),
        "truncated": (steps,),
        "episode_start": (episodes,),
    }
    for name, array in arrays.items():
        if array.dtype != _KINDS[name]:
            need = np.dtype(_KINDS[name])
            yield f"{path}/{name}.npy: {name} has dtype {array.dtype}, need {need}"
        if array.shape != shapes[name]:
            yield (
                f"{path}/{name}.npy: {name} has shape {array.shape}, need {shapes[name]} "
                f"({steps} steps, {episodes} episodes of task {spec.name})"
            )
    if steps == 0:
        yield f"{path}/reward.npy: reward is empty; a dataset needs one step at least"


def misplaced(path: Path, arrays: Mapping[str, NDArray[Any]], limit: int) -> Iterator[str]:
    """Yields where episodes do not begin and end as they must.

    Args:
        path: the dataset's directory, for messages.
        arrays: the dataset's arrays by name.
        limit: steps that an episode can have.
    """
    start, steps = np.asarray(arrays["episode_start"]), len(arrays["reward"])
    file = f"{path}/episode_start.npy"
    if len(start) == 0 or start[0] != 0:
        first = start[0] if len(start) else "nothing"
        yield f"{file}: episode_start[0] is {first}, need 0"
        return
    lengths = np.diff(start, append=steps)
    if (lengths <= 0).any():
        row = int(np.argmax(lengths <= 0))
        yield (
            f"{file}: episode {row}, from row {start[row]}, has {lengths[row]} steps, "
            "need 1 or more"
        )
        return
    if (lengths > limit).any():
        row = int(np.argmax(lengths > limit))
        yield (
            f"{file}: episode {row}, from row {start[row]}, has {lengths[row]} steps, "
            f"more than the episode_limit of {limit} in meta.json"
        )
    flags = zip(chunks(arrays["terminated"]), chunks(arrays["truncated"]), strict=True)
    for (begin, terminated), (_, truncated) in flags:
        yield from _wrong_ends(path, begin, terminated, truncated, start + lengths - 1)


def _wrong_ends(
    path: Path,
    begin: int,
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
    ends: NDArray[np.int64],
) -> Iterator[str]:
    """Checks the flags of the rows from `begin` on: one of them at each episode's end alone."""
    if (both := terminated & truncated).any():
        row = begin + int(np.argmax(both))
        rows = f"row {row} is" if both.sum() == 1 else f"{both.sum()} rows, first {row}, are"
        yield f"{path}/truncated.npy: {rows} both terminated and truncated"
    first, after = np.searchsorted(ends, [begin, begin + len(terminated)])
    last = np.zeros(len(terminated), dtype=np.bool_)
    last[ends[first:after] - begin] = True
    ended = terminated | truncated
    if (wrong := ended != last).any():
        at = int(np.argmax(wrong))
        what = "goes on after it ended" if ended[at] else "is cut: its last row has no end"
        yield (
            f"{path}/terminated.npy: the episode at row {begin + at} {what} "
            f"(terminated {bool(terminated[at])}, truncated {bool(truncated[at])}); "
            f"{wrong.sum()} such rows"
        )


def _check_finite(path: Path, name: str, array: NDArray[Any]) -> None:
    for begin, part in chunks(array):
        bad = ~np.isfinite(part)
        if bad.any():
            at = np.argwhere(bad)[0]
            at[0] += begin
            value = array[tuple(at)]
            raise DatasetError(f"{path}/{name}.npy: {name}{list(map(int, at))} is {value}")


def _check_bounds(path: Path, spec: TaskSpec, action: NDArray[Any]) -> None:
    low, high = (bound.numpy() for bound in spec.action_bounds)
    for begin, part in chunks(action):
        bad = (part < low - SLACK) | (part > high + SLACK)
        if bad.any():
            row, agent, dim = (int(i) for i in np.argwhere(bad)[0])
            raise DatasetError(
                f"{path}/action.npy: action[{begin + row}] of {spec.agents[agent]}, dimension "
                f"{dim}, is {part[row, agent, dim]}; "
                f"bounds are [{low[agent, dim]}, {high[agent, dim]}]"
            )


def _check_one_hot(path: Path, spec: TaskSpec, action: NDArray[Any]) -> None:
    for begin, part in chunks(action):
        if (found := not_one_hot(spec, torch.from_numpy(np.array(part)))) is not None:
            (row, _), words = found
            raise DatasetError(f"{path}/action.npy: action[{begin + row}] {words}")
