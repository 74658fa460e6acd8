"""OMIGA's HDF5 files: `s, o, a, r, d`, episodes end to end.

`s` and `o` are (rows, agents, width), `a` (rows, agents, actions), `r` a team reward per row, `d`
(rows, agents). A row with `d` set is the state an episode ended in: its action and reward are
fillers. `d` is set at the time limit too, so episodes as long as the longest are taken to have run
out of time. Observations were standardised row by row (see `standardised`); where the agents' ids
are found in them they are taken back to physical units, and then all agents see the whole state.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from moma.log_tools.importing import hdf5, limits, standardised
from moma.log_tools.importing.fields import Fields, gather, layout
from moma.log_tools.importing.log import Agent, Arrays, ImportDataError, Log
from moma.log_tools.importing.rows import episodes

_KEYS = ("s", "o", "a", "r", "d")
_SAMPLE = 4096
"""Rows by which it is told whether observations were standardised."""


def read(path: Path) -> Log:
    """Opens such a file.

    Raises:
        ImportDataError: it is none, or must not be read.
    """
    source = str(path)
    with hdf5.opened(path) as file:
        fields = _fields(file)
        rows, agents, width = fields["o"].shape
        inverted = {key: standardised.found(fields[key][:_SAMPLE]) for key in ("s", "o")}
        # A standardised state whose units are lost would only repeat the observations.
        names = Fields(
            agents=tuple(
                Agent(name=f"agent_{i}", seen=(f"o{i}",), acted=(f"a{i}",)) for i in range(agents)
            ),
            state=("s",) * (inverted["o"] == inverted["s"]),
            rewards=("r",),
            terminated=(("d",),),
        )
        first = _arrays(source, fields, slice(0, 1), names, physical=inverted["o"])
    if inverted["o"]:
        notes = ["observations were standardised row by row; taken back to physical units"]
    else:
        notes = ["no agents' ids found in standardised observations: left as they are"]

    def arrays() -> Iterator[Arrays]:
        with hdf5.opened(path) as file:
            fields = _fields(file)
            for part in limits.slices(rows, agents * width):
                yield _arrays(source, fields, part, names, physical=inverted["o"])

    return Log(
        source=source,
        layout=layout(
            source,
            names,
            first,
            padded=True,
            tolerance=standardised.TOLERANCE,
            limits_are_terminals=True,
        ),
        rows=rows,
        episodes=lambda: episodes((gather(names, one) for one in arrays()), source),
        notes=tuple(notes),
    )


def _fields(file: h5py.File) -> dict[str, h5py.Dataset]:
    fields = {key: hdf5.array(file, key) for key in _KEYS}
    shapes = {key: data.shape for key, data in fields.items()}
    teams = {shapes[key][1:2] for key in "soa"}
    rows = {shape[0] for shape in shapes.values()}
    if any(len(shapes[key]) != 3 for key in "soa") or len(teams) > 1 or len(rows) > 1:
        raise ImportDataError(
            f"{file.filename}: s, o and a must be (rows, agents, width) with as many agents, all "
            f"with as many rows; got {shapes}"
        )
    return fields


def _arrays(
    source: str, fields: dict[str, h5py.Dataset], part: slice, names: Fields, *, physical: bool
) -> Arrays:
    def features(key: str) -> NDArray[np.floating]:
        given: NDArray[np.floating] = fields[key][part]
        if not physical:
            return given
        if not standardised.found(given):
            raise ImportDataError(
                f"{source}: {key}, rows {part.start} to {part.stop}, is not standardised as the "
                "rows before are; take those rows out"
            )
        return standardised.invert(given)

    ended = (fields["d"][part] != 0).reshape(part.stop - part.start, -1).all(axis=1)
    reward = np.array(fields["r"][part], np.float64).reshape(len(ended), -1)
    reward[ended] = np.nan
    state = {"s": features("s")[:, 0]} if names.state else {}
    seen, acted = features("o"), fields["a"][part]
    own = {f"o{i}": seen[:, i] for i in range(seen.shape[1])}
    own |= {f"a{i}": acted[:, i] for i in range(seen.shape[1])}
    return {**state, **own, "r": reward, "d": ended}
