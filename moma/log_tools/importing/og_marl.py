"""OG-MARL's vaults: a directory of `metadata.json` and a TensorStore database.

Every leaf is an array (B, T, agents, ...) of B streams side by side, read up to `vault_index`:
`observations.`, `actions.`, `rewards.`, `terminals.`, `truncations.` and optionally `infos.state.`
(B, T, S) and `infos.legals.`. The flags of a step say whether the episode ended with it; the state
after that step is not in the vault (see `rows`). `legals` are kept as `allowed`. Observations and
actions are padded to the widest agent, with 0 or -inf; columns that are one of these in every row
are dropped. OMIGA's sets, which are in the hub as vaults too, are standardised row by row; they are
taken back to physical units.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore
from numpy.typing import NDArray

from moma.log_tools.importing import limits, standardised
from moma.log_tools.importing.fields import Fields, gather, layout
from moma.log_tools.importing.log import Agent, Arrays, ImportDataError, Log
from moma.log_tools.importing.rows import Rows, episodes
from moma_core import documents

_NEEDED = ("observations.", "actions.", "rewards.", "terminals.", "truncations.")
_STATE, _LEGALS = "infos.state.", "infos.legals."
_SAMPLE = 4096
"""Rows by which it is told whether observations were standardised."""
Leaves = dict[str, tensorstore.TensorStore]
"""A vault's arrays by name, each sliced to the rows that were written."""


def read(path: Path) -> Log:
    """Opens a vault.

    Args:
        path: the directory of one vault: that of its uid, such as `2ant.vlt/Good`.

    Raises:
        ImportDataError: it is none, or must not be read.
    """
    source = str(path)
    leaves = _leaves(path)
    streams, rows, agents, _ = leaves["observations."].shape
    physical = standardised.found(_read(leaves["observations."], 0, slice(0, min(rows, _SAMPLE))))
    notes: tuple[str, ...] = ()
    if physical:
        leaves.pop(_STATE, None)  # every agent sees the whole state, once it is physical
        notes = ("observations were standardised row by row; taken back to physical units",)
    names = _names(leaves, agents)

    def read(stream: int, part: slice) -> Arrays:
        found = {name: _read(leaf, stream, part) for name, leaf in leaves.items()}
        seen, acted = found["observations."], found["actions."]
        seen = _physical(source, seen, stream, part) if physical else seen
        found |= {f"observations.{i}": seen[:, i] for i in range(agents)}
        return found | {f"actions.{i}": acted[:, i] for i in range(agents)}

    def pieces(stream: int) -> Iterator[Rows]:
        for part in _slices(leaves, rows):
            yield gather(names, read(stream, part))

    return Log(
        source=source,
        layout=layout(
            source,
            names,
            read(0, slice(0, 1)),
            padded=True,
            tolerance=standardised.TOLERANCE if physical else 0.0,
        ),
        rows=streams * rows,
        episodes=lambda: (
            episode for stream in range(streams) for episode in episodes(pieces(stream), source)
        ),
        notes=notes,
    )


def _names(leaves: Leaves, agents: int) -> Fields:
    """Which leaf is what, and who chooses."""
    actions = leaves["actions."]
    chooses = actions.dtype.numpy_dtype.kind in "iu" and len(actions.shape) == 3
    legal = leaves[_LEGALS].shape[-1] if _LEGALS in leaves else 0
    return Fields(
        agents=tuple(
            Agent(
                name=f"agent_{i}",
                seen=(f"observations.{i}",),
                acted=(f"actions.{i}",),
                choices=legal if chooses else None,
            )
            for i in range(agents)
        ),
        state=(_STATE,) * (_STATE in leaves),
        rewards=("rewards.",),
        terminated=(("terminals.",),),
        ended=(("truncations.",),),
        beside={"allowed": (_LEGALS,)} if _LEGALS in leaves and chooses else {},
    )


def _leaves(path: Path) -> Leaves:
    try:
        said = documents.read(path / "metadata.json")["structure_shape"]
        infos = dict(said.get("infos", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImportDataError(f"{path / 'metadata.json'} describes no vault: {error!r}") from error
    index = _open(path, "vault_index")
    rows = int(np.asarray(index.read().result()).reshape(-1)[0])
    extra = [name for name in (_STATE, _LEGALS) if name.split(".")[1] in infos]
    leaves = {name: _open(path, name)[:, :rows] for name in (*_NEEDED, *extra)}
    shape = leaves["observations."].shape
    acted = leaves["actions."].shape
    streams = {leaf.shape[:2] for leaf in leaves.values()}
    if len(shape) != 4 or acted[2:3] != shape[2:3] or len(streams) > 1:
        shapes = {name: leaf.shape for name, leaf in leaves.items()}
        raise ImportDataError(
            f"{path}: observations must be (streams, rows, agents, width), actions with as many "
            f"agents, all with as many streams and rows; got {shapes}"
        )
    return leaves


def _open(path: Path, name: str) -> tensorstore.TensorStore:
    place = {"driver": "ocdbt", "base": path.absolute().as_uri(), "path": name}
    where = f"{path}: {name}"
    try:
        leaf = tensorstore.open(
            {
                "driver": "zarr",
                "kvstore": place,
                "context": {"cache_pool": {"total_bytes_limit": 1 << 27}},
            },
            open=True,
            read=True,
        ).result()
    except ValueError as error:
        raise ImportDataError(f"{where} cannot be opened: {str(error)[:300]}") from error
    dtype = leaf.dtype.numpy_dtype
    limits.numeric(where, dtype.kind, leaf.shape[1:] if name != "vault_index" else leaf.shape)
    limits.block(where, math.prod(_block(leaf)) * dtype.itemsize)
    return leaf


def _block(leaf: tensorstore.TensorStore) -> tuple[int, ...]:
    return tuple(int(length or 1) for length in leaf.chunk_layout.read_chunk.shape or ())


def _slices(leaves: Leaves, rows: int) -> Iterator[slice]:
    """Whole blocks of the widest leaf, so that each is unpacked once."""
    leaf = leaves["observations."]
    step = max(1, _block(leaf)[1])
    width = math.prod(leaf.shape[2:])
    for begin in range(0, rows, step):
        yield from limits.slices(min(begin + step, rows), width, begin)


def _read(leaf: tensorstore.TensorStore, stream: int, part: slice) -> NDArray[Any]:
    return np.asarray(leaf[stream, part].read().result())


def _physical(source: str, seen: NDArray[Any], stream: int, part: slice) -> NDArray[Any]:
    if not standardised.found(seen):
        raise ImportDataError(
            f"{source}: observations, stream {stream}, rows {part.start} to {part.stop}, are "
            "not standardised as the first ones are; take those rows out"
        )
    return standardised.invert(seen)
