"""A dataset in a format that others can read: the canonical layouts, the inverse of importing."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from moma.log_tools.importing.canonical import AgentMeta, Meta
from moma_core import documents
from moma_core.datasets.dataset import BESIDE, Dataset, open_array

_ROWS = 1 << 15


def npz(data: Dataset, path: Path) -> None:
    """Writes a dataset as one npz file, uncompressed, whole or not at all."""
    lengths = data.lengths
    states, steps = len(data.state), data.transitions
    with _aside(path) as aside, zipfile.ZipFile(aside, "w", allowZip64=True) as archive:
        _member(archive, "meta", np.array(documents.dump(_meta(data))))
        _member(archive, "episode_length", lengths)
        kind = _states(data, slice(0, 1)).dtype
        whole = (_states(data, rows) for rows in _slices(states))
        _stream(archive, "state", whole, data.state.shape, kind)
        for name, index in zip(data.spec.agents, data.spec.observation_index, strict=True):
            seen = (_states(data, rows)[:, index] for rows in _slices(states))
            _stream(archive, f"obs/{name}", seen, (states, len(index)), kind)
        for agent, name in enumerate(data.spec.agents):
            first = _action(data, agent, slice(0, 1))
            acted = (_action(data, agent, rows) for rows in _slices(steps))
            _stream(archive, f"act/{name}", acted, (steps, *first.shape[1:]), first.dtype)
        for field in ("reward", "terminated", "truncated"):
            _member(archive, field, getattr(data, field))
        for name, array in _beside(data).items():
            _member(archive, name, array)


def parquet(data: Dataset, path: Path) -> None:
    """Writes a dataset as one Parquet file, whole or not at all."""
    groups = np.searchsorted(data.episode_start, np.arange(0, data.transitions, _ROWS))
    edges = sorted({*map(int, groups), data.episodes})
    with _aside(path) as aside:
        schema = _table(data, 0, 1).schema.with_metadata({"meta": documents.dump(_meta(data))})
        with pyarrow.parquet.ParquetWriter(aside, schema) as writer:
            for begin, end in pairwise(edges):
                writer.write_table(_table(data, begin, end).cast(schema))


def _table(data: Dataset, first: int, last: int) -> pyarrow.Table:
    """Episodes `first` up to `last`, each with one more row for its final state."""
    edges = data.edges[first : last + 1]
    steps, states = slice(edges[0], edges[-1]), slice(edges[0] + first, edges[-1] + last)
    number = np.repeat(np.arange(first, last), np.diff(edges) + 1)
    final = np.zeros(len(number), np.bool_)
    final[np.cumsum(np.diff(edges) + 1) - 1] = True
    # In the row of a final state the last action stands once more, and is not read.
    step = np.cumsum(~final) - 1
    columns = {"episode": pyarrow.array(number), "state": _lists(_states(data, states))}
    for name, index in zip(data.spec.agents, data.spec.observation_index, strict=True):
        columns[f"obs/{name}"] = _lists(_states(data, states)[:, index])
    for agent, name in enumerate(data.spec.agents):
        action = _action(data, agent, steps)[step]
        columns[f"act/{name}"] = _lists(action) if action.ndim > 1 else pyarrow.array(action)
    columns["reward"] = pyarrow.array(data.reward[steps][step], mask=final)
    for flag in ("terminated", "truncated"):
        columns[flag] = pyarrow.array(getattr(data, flag)[steps][step])
    for name, array in _beside(data).items():
        own = array[states]
        columns[name] = _lists(own) if own.ndim > 1 else pyarrow.array(own)
    return pyarrow.table(columns)


def _states(data: Dataset, rows: slice) -> NDArray[np.floating]:
    """States in the log's own units: of float64 where an offset was taken off."""
    state: NDArray[np.floating] = data.state[rows]
    return state + data.spec.offset if data.spec.state_offset else state


def _beside(data: Dataset) -> dict[str, NDArray[Any]]:
    """What lies beside the dataset's own arrays, by the names of the layout."""
    found = {n: data.path / f"{n}.npy" for n in BESIDE if (data.path / f"{n}.npy").exists()}
    kept = {name: open_array(path) for name, path in found.items()}
    arrays = {"timestamp": kept["timestamp"]} if "timestamp" in kept else {}
    for agent, name in enumerate(data.spec.agents):
        if "present" in kept:
            arrays[f"mask/{name}"] = kept["present"][:, agent]
        if "allowed" in kept:
            width = len(data.spec.action_low[agent])
            arrays[f"avail/{name}"] = kept["allowed"][:, agent, :width]
    return arrays


def _lists(rows: NDArray[Any]) -> pyarrow.Array:
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(rows.reshape(-1)), rows.shape[1])


def _action(data: Dataset, agent: int, rows: slice) -> NDArray[np.generic]:
    """An agent's own actions `[N U]`, or the numbers of its choices `[N]`."""
    own = data.action[rows, agent, : len(data.spec.action_low[agent])]
    return own.argmax(axis=1) if data.spec.discrete[agent] else own


def _meta(data: Dataset) -> Meta:
    spec = data.spec
    agents = tuple(
        AgentMeta(
            name=name,
            action_low=() if chooses else low,
            action_high=() if chooses else high,
            choices=len(low) if chooses else 0,
        )
        for name, low, high, chooses in zip(
            spec.agents, spec.action_low, spec.action_high, spec.discrete, strict=True
        )
    )
    return Meta(agents=agents, state_names=spec.state_names)


def _slices(rows: int) -> Iterator[slice]:
    for begin in range(0, rows, _ROWS):
        yield slice(begin, min(begin + _ROWS, rows))


def _member(archive: zipfile.ZipFile, name: str, array: NDArray[np.generic]) -> None:
    parts = (array[rows] for rows in _slices(len(array))) if array.ndim else iter([array])
    _stream(archive, name, parts, array.shape, array.dtype)


def _stream(
    archive: zipfile.ZipFile,
    name: str,
    parts: Iterator[NDArray[np.generic]],
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
) -> None:
    """Writes one array into the archive as its parts come."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        fields = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, fields)
        for part in parts:
            file.write(np.ascontiguousarray(part).tobytes())


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """Yields where to write; the file takes its place once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.tmp")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
