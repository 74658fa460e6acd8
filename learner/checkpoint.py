"""Everything that learning changes, atomic and digested; resuming goes on bit for bit.

All draws of the learner depend on (seed, version), so that no generator state has to be kept. What
is kept is tensors by name: an algorithm's `state`, and what the loop carries on besides.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from moma_core import documents
from moma_core.documents import printable
from moma_core.storage import (
    StorageError,
    drop_remains,
    new_directory,
    save_tensors,
    verify,
    write_text,
)
from moma_core.types import PolicySnapshot

KEEP = 3
_LATEST, _STATE, _TENSORS = "LATEST", "state.json", "tensors.safetensors"
_ACTORS = "actors."
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What goes on over a resume, beside what learning changes."""

    version: int
    transitions: int
    resumes: int
    seconds: float
    """Seconds of training, in all processes so far."""
    data_sha256: str = ""
    """Digest of the log that was learned from; empty: there was none."""


def save(directory: Path, state: Mapping[str, Tensor], counters: Counters) -> Path:
    """Writes a checkpoint and points LATEST to it; the newest `KEEP` stay.

    Args:
        directory: of all checkpoints of the run.
        state: everything that learning changes, by name.
        counters: what goes on counting.
    """
    target = directory / f"{counters.version:08d}"
    with new_directory(target) as aside:
        save_tensors(state, aside / _TENSORS)
        (aside / _STATE).write_text(json.dumps(asdict(counters), indent=1), encoding="utf-8")
    write_text(directory / _LATEST, target.name + "\n")
    with _locked(directory, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
        # Where somebody reads, the old ones stay until the next save.
        for old in _newest_first(directory)[KEEP:] if alone else ():
            shutil.rmtree(old, ignore_errors=True)
    return target


def load(
    directory: Path, expected: Mapping[str, Tensor]
) -> tuple[Counters, dict[str, Tensor]] | None:
    """Reads the newest checkpoint that can be gone on from; None when there is none at all.

    One that is passed over is named in the log.

    Args:
        directory: of all checkpoints of the run.
        expected: the state as it is before loading; the one found must have its shapes.

    Raises:
        StorageError: there are checkpoints, and something is wrong with each; it says what.
    """
    drop_remains(directory, "*")
    faults = []
    with held(directory):
        for path in _newest_first(directory):
            try:
                counters, tensors = _read(path)
                _check_shapes(path, expected, tensors)
            except StorageError as error:
                _LOG.warning("this checkpoint is passed over for an older one: %s", error)
                faults.append(str(error))
            else:
                return counters, tensors
    if faults:
        raise StorageError(f"no checkpoint in {directory} is whole: {'; '.join(faults)}")
    return None


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Keeps a running learner from deleting what is read here."""
    with _locked(directory, fcntl.LOCK_SH):
        yield


@contextmanager
def _locked(directory: Path, how: int) -> Iterator[bool]:
    """Locks a directory, and says whether it could; one that is not there needs no lock."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, how)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def keep_policy(
    path: Path, snapshot: PolicySnapshot, transitions: int, score: float | None
) -> None:
    """Keeps policies for good, with what was known of them.

    Args:
        path: their directory.
        snapshot: the policies.
        transitions: steps learned from so far.
        score: of the last evaluation; None where there was none.
    """
    with new_directory(path) as aside:
        state = {f"{_ACTORS}{k}": v.contiguous() for k, v in snapshot.parameters.items()}
        save_tensors(state, aside / _TENSORS)
        known = {"version": snapshot.version, "transitions": transitions, "score": score}
        (aside / _STATE).write_text(json.dumps(known, indent=1), encoding="utf-8")


def actors(path: Path) -> dict[str, Tensor]:
    """Reads the actors' parameters of one checkpoint, or of kept policies, verified.

    Raises:
        StorageError: they are not whole, or no network's.
    """
    verify(path)
    try:
        tensors = load_file(path / _TENSORS)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{path}: {error}") from error
    _check_finite(path, tensors)
    return {k.removeprefix(_ACTORS): v for k, v in tensors.items() if k.startswith(_ACTORS)}


def counters(directory: Path) -> Counters:
    """Reads the counters of the newest checkpoint that is whole.

    Raises:
        StorageError: there is none.
    """
    with held(directory):
        path = newest(directory)
        if path is None:
            raise StorageError(f"{directory} holds no whole checkpoint")
        return _read(path)[0]


def newest(directory: Path) -> Path | None:
    """Returns the newest checkpoint that is whole."""
    with held(directory):
        for path in _newest_first(directory):
            try:
                _read(path)
            except StorageError:
                continue
            return path
    return None


def _read(path: Path) -> tuple[Counters, dict[str, Tensor]]:
    """Reads a checkpoint: what its manifest says it is may still be no state of a learner.

    Raises:
        StorageError: it is not whole, or holds what no learner saves.
    """
    verify(path)
    try:
        counters = documents.load(Counters, path / _STATE)
        tensors = load_file(path / _TENSORS)
    except (ValueError, OSError, SafetensorError) as error:
        raise StorageError(f"{path}: {error}") from error
    counts = (counters.version, counters.transitions, counters.resumes, counters.seconds)
    if min(counts) < 0 or f"{counters.version:08d}" != path.name:
        raise StorageError(f"{path / _STATE}: these are no counters of {path.name}: {counters}")
    _check_finite(path, tensors)
    return counters, tensors


def _newest_first(directory: Path) -> list[Path]:
    return sorted((p for p in directory.glob("[0-9]*") if p.is_dir()), reverse=True)


def _check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuses what no learner saves; a single number, such as the best so far, may be infinite.

    Raises:
        StorageError: naming the first tensor that is not finite.
    """
    for name, tensor in tensors.items():
        bad = ~tensor.isfinite() if tensor.dim() else tensor.isnan()
        if bool(bad.any()):
            raise StorageError(f"{path / _TENSORS}: {printable(name)} is not finite")


def _check_shapes(path: Path, mine: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Refuses a checkpoint of other networks before anything is overwritten.

    Raises:
        StorageError: naming the first tensor that differs.
    """
    for name, tensor in mine.items():
        other = found.get(name)
        have = "nothing" if other is None else [*other.shape, other.dtype]
        if have != [*tensor.shape, tensor.dtype]:
            raise StorageError(
                f"{path} was made with other settings: {name} is {have}, "
                f"this run's networks need {[*tensor.shape, tensor.dtype]}"
            )
