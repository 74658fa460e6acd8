"""One's own logs as npz: one file, or a directory of files that are read in the order of names.

A file holds the arrays of `canonical`, with the rows of its episodes end to end, and
`episode_length`, the number of steps T of each; without it, the file is one episode. `meta` is an
array of one string. A file with `observations` and `actions` is a log in D4RL's manner (see
`transitions`). Arrays are read as streams, row by row; large ones must be in C order.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from moma.log_tools.importing import canonical, limits, transitions
from moma.log_tools.importing.fields import Fields, layout, whole
from moma.log_tools.importing.log import Episode, ImportDataError, Layout, Log
from moma.log_tools.importing.npy import Stream

_LENGTH, _META = "episode_length", "meta"
_MAX_META = 1 << 24


def read(path: Path) -> Log:
    """Opens a file, or all files of a directory.

    Raises:
        ImportDataError: an array is missing, of another shape, or must not be read.
    """
    if path.is_file():
        with _opened(path) as members:
            flat = set(transitions.REQUIRED) & set(members)
        if flat and not any(name.startswith("act") and name != "actions" for name in members):
            return transitions.read(str(path), lambda: _opened(path))
    return canonical.read(
        path,
        ".npz",
        _describe,
        lambda files, names: (episode for file in files for episode in _episodes(file, names)),
    )


def _describe(path: Path) -> tuple[Fields, Layout, int, Sequence[str]]:
    """What a file's arrays are, how many steps it has, and its flags."""
    with _opened(path) as members:
        found = [name for name in members if name not in (_LENGTH, _META)]
        names = canonical.fields(str(path), found, _text(str(path), members))
        steps = _check(str(path), names, members)
        described = layout(str(path), names, {name: members[name] for name in names.all})
        flags = [name for name, member in members.items() if member.dtype.kind == "b"]
        return names, described, steps, flags


@contextmanager
def _opened(path: Path) -> Iterator[dict[str, Stream]]:
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
        except (OSError, NotImplementedError, zipfile.BadZipFile) as error:
            raise ImportDataError(f"{path} is no npz archive: {error}") from error
        declared = sum(entry.file_size for entry in archive.infolist())
        limits.expansion(str(path), declared, path.stat().st_size)
        members = {}
        for entry in archive.infolist():
            where = f"{path}: {entry.filename}"
            try:
                file = stack.enter_context(archive.open(entry))
            except (RuntimeError, NotImplementedError, zipfile.BadZipFile, OSError) as error:
                raise ImportDataError(f"{where} cannot be read: {error}") from error
            members[entry.filename.removesuffix(".npy")] = Stream(where, file)
        yield members


def _text(source: str, members: dict[str, Stream]) -> str:
    meta = members.get(_META)
    if meta is None:
        return ""
    if meta.dtype.kind != "U" or meta.shape != () or meta.dtype.itemsize > _MAX_META:
        raise ImportDataError(f"{source}: meta must be one string of JSON")
    return str(meta.read(1).reshape(-1)[0])


def _check(source: str, names: Fields, members: dict[str, Stream]) -> int:
    """Compares the numbers of rows; returns the steps of the file."""
    steps = members[names.terminated[0][0]].shape[0]
    lengths = members.get(_LENGTH)
    episodes = 1 if lengths is None else int(lengths.shape[0])
    for name in names.all:
        need = steps + episodes * (name in names.of_states)
        if members[name].shape[0] != need:
            raise ImportDataError(
                f"{source}: {name} has {members[name].shape[0]} rows, need {need}: {steps} "
                f"steps in {episodes} episodes, with one state more than steps in each"
            )
    return int(steps)


def _episodes(path: Path, names: Fields) -> Iterator[Episode]:
    with _opened(path) as members:
        steps, row = members[names.terminated[0][0]].shape[0], 0
        lengths = np.array([steps])
        if _LENGTH in members:
            lengths = members[_LENGTH].read(members[_LENGTH].shape[0])
        if lengths.sum() != steps or (lengths < 1).any():
            raise ImportDataError(
                f"{path}: episode_length must hold numbers of 1 or more that add up to {steps}"
            )
        for length in map(int, lengths):
            arrays = {n: members[n].read(length + (n in names.of_states)) for n in names.all}
            yield whole(names, arrays, row, str(path))
            row += length
