"""Writes a dataset directory episode by episode, in constant memory, whole or not at all."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from moma_core.datasets.dataset import SCHEMA
from moma_core.storage import new_directory
from moma_core.types import TaskSpec

Append = Callable[[NDArray[Any]], None]
_DURATIONS = 1 << 16
"""Steps that the median of their durations is taken of, or an episode's more."""


class EpisodeWriter:
    """Appends episodes to a dataset that appears, whole, when the `with` block ends well.

    Args:
        spec: the team.
        path: the dataset's directory; one that exists is replaced.
        origin: who made it and with what, free-form.
    """

    def __init__(self, spec: TaskSpec, path: Path, origin: Mapping[str, object]) -> None:
        self._path = path
        self._spec = spec
        self.origin = dict(origin)
        """May be added to until the block ends."""
        self._kinds: dict[str, tuple[DTypeLike, tuple[int, ...]]] = {
            "state": (np.float32, (spec.state_width,)),
            "action": (np.float32, (len(spec.agents), spec.action_width)),
            "reward": (np.float32, ()),
            "terminated": (np.bool_, ()),
            "truncated": (np.bool_, ()),
        }
        self._append: dict[str, Append] = {}
        self._beside: dict[str, Append] | None = None
        self._starts, self._steps = array("q"), 0
        self._seconds = array("d")

    def __enter__(self) -> EpisodeWriter:
        with ExitStack() as stack:
            directory = self._directory = stack.enter_context(new_directory(self._path))
            stack.callback(self._finish, directory)
            self._append = {
                name: stack.enter_context(growing(directory / f"{name}.npy", dtype, shape))
                for name, (dtype, shape) in self._kinds.items()
            }
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def add(
        self,
        state: NDArray[np.float32],
        action: NDArray[np.float32],
        reward: NDArray[np.float32],
        *,
        terminated: bool,
        beside: Mapping[str, NDArray[Any]] = MappingProxyType({}),
    ) -> None:
        """Adds one episode of T steps that ended as it did or was truncated at its last step.

        Args:
            state: `[T+1 S]`.
            action: `[T A U]`, as executed: within the bounds.
            reward: `[T]`.
            terminated: whether the task itself ended the episode.
            beside: what else is kept of the T+1 states, see `BESIDE`; the same in all episodes.

        Raises:
            ValueError: the shapes do not belong together.
        """
        steps = len(reward)
        if not steps or len(state) != steps + 1 or len(action) != steps:
            raise ValueError(
                f"an episode of {steps} rewards needs {steps + 1} states and {steps} actions, "
                f"one step at least; got {len(state)} states and {len(action)} actions"
            )
        last = np.arange(steps) == steps - 1
        parts = (state, action, reward, last & terminated, last & (not terminated))
        for append, part in zip(self._append.values(), parts, strict=True):
            append(part)
        if self._beside is None:
            self._beside = {
                name: self._open.enter_context(
                    growing(self._directory / f"{name}.npy", part.dtype, part.shape[1:])
                )
                for name, part in beside.items()
            }
        if self._beside.keys() != beside.keys() or any(
            len(p) != steps + 1 for p in beside.values()
        ):
            raise ValueError(f"{', '.join(beside)} must have a row for each of {steps + 1} states")
        for name, part in beside.items():
            self._beside[name](part)
        if "timestamp" in beside and len(self._seconds) < _DURATIONS:
            self._seconds.extend(np.diff(beside["timestamp"]).tolist())
        self._starts.append(self._steps)
        self._steps += steps

    def _finish(self, directory: Path) -> None:
        starts = np.array(self._starts, dtype=np.int64)
        np.save(directory / "episode_start.npy", starts, allow_pickle=False)
        meta: dict[str, object] = {
            "schema": SCHEMA,
            "task": asdict(self._spec),
            "origin": self.origin,
        }
        if (median := median_step(self._seconds)) is not None:
            meta["seconds_per_step"] = median
        (directory / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")


def median_step(seconds: Sequence[float]) -> float | None:
    """Returns how long a step takes: the median of those for which time goes on; None: of none.

    It has six digits: a clock's differences have no more.
    """
    found = np.asarray(seconds, np.float64)
    found = found[np.isfinite(found) & (found > 0)]
    return float(f"{np.median(found):.6g}") if len(found) else None


@contextmanager
def growing(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> Iterator[Append]:
    """Yields what appends rows to a new .npy file; its header is completed at the end.

    numpy leaves room in a header for the first axis to grow.

    Args:
        path: the file.
        dtype: that of the array.
        shape: of a row.

    Raises:
        ValueError: on appending rows of another shape.
    """
    rows, descr = 0, np.lib.format.dtype_to_descr(np.dtype(dtype))

    def append(part: NDArray[Any]) -> None:
        nonlocal rows
        if part.shape[1:] != shape:
            raise ValueError(f"{path.stem} needs rows of shape {shape}, got {part.shape[1:]}")
        file.write(np.ascontiguousarray(part, dtype).data)
        rows += len(part)

    def header() -> None:
        fields = {"descr": descr, "fortran_order": False, "shape": (rows, *shape)}
        np.lib.format.write_array_header_1_0(file, fields)

    with path.open("wb") as file:
        header()
        yield append
        file.seek(0)
        header()
