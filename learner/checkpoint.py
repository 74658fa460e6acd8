"""Everything that learning changes, atomic and digested; resuming goes on bit for bit.

All draws of the learner depend on (seed, version), so that no generator state has to be kept. What
is kept is tensors by name: an algorithm's `state`, and what the loop carries on besides.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from moma_core import documents
from moma_core.storage import StorageError, drop_remains, new_directory, verify, write_text
from moma_core.types import PolicySnapshot

KEEP = 3
_LATEST, _STATE, _TENSORS = "LATEST", "state.json", "tensors.safetensors"
_ACTORS = "actors."


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What goes on counting over a resume."""

    version: int
    transitions: int
    resumes: int
    seconds: float
    """Seconds of training, in all processes so far."""


def save(directory: Path, state: Mapping[str, Tensor], counters: Counters) -> Path:
    """Writes a checkpoint and points LATEST to it; the newest `KEEP` stay.

    Args:
        directory: of all checkpoints of the run.
        state: everything that learning changes, by name.
        counters: what goes on counting.
    """
    target = directory / f"{counters.version:08d}"
    with new_directory(target) as aside:
        save_file(dict(state), aside / _TENSORS)
        (aside / _STATE).write_text(json.dumps(asdict(counters), indent=1), encoding="utf-8")
    write_text(directory / _LATEST, target.name + "\n")
    for old in _newest_first(directory)[KEEP:]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def load(
    directory: Path, expected: Mapping[str, Tensor]
) -> tuple[Counters, dict[str, Tensor]] | None:
    """Reads the newest checkpoint that is whole; None when there is none at all.

    Args:
        directory: of all checkpoints of the run.
        expected: the state as it is before loading; the one found must have its shapes.

    Raises:
        StorageError: there are checkpoints, but none is whole.
        ValueError: the checkpoint is one of other networks; it names the tensor.
    """
    drop_remains(directory, "*")
    faults = []
    for path in _newest_first(directory):
        try:
            verify(path)
            counters = documents.parse(Counters, (path / _STATE).read_text("utf-8"), str(path))
            tensors = load_file(path / _TENSORS)
        except (StorageError, ValueError, OSError) as error:
            faults.append(str(error))
            continue
        _check_shapes(path, expected, tensors)
        return counters, tensors
    if faults:
        raise StorageError(f"no checkpoint in {directory} is whole: {'; '.join(faults)}")
    return None


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
        save_file(state, aside / _TENSORS)
        known = {"version": snapshot.version, "transitions": transitions, "score": score}
        (aside / _STATE).write_text(json.dumps(known, indent=1), encoding="utf-8")


def actors(path: Path) -> dict[str, Tensor]:
    """Reads the actors' parameters of one checkpoint, verified."""
    verify(path)
    tensors = load_file(path / _TENSORS)
    return {k.removeprefix(_ACTORS): v for k, v in tensors.items() if k.startswith(_ACTORS)}


def counters(directory: Path) -> Counters:
    """Reads the counters of the newest checkpoint that is whole.

    Raises:
        StorageError: there is none.
    """
    path = newest(directory)
    if path is None:
        raise StorageError(f"{directory} holds no whole checkpoint")
    return documents.parse(Counters, (path / _STATE).read_text("utf-8"), str(path))


def newest(directory: Path) -> Path | None:
    """Returns the newest checkpoint that is whole."""
    for path in _newest_first(directory):
        try:
            verify(path)
        except StorageError:
            continue
        return path
    return None


def _newest_first(directory: Path) -> list[Path]:
    return sorted((p for p in directory.glob("[0-9]*") if p.is_dir()), reverse=True)


def _check_shapes(path: Path, mine: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Refuses a checkpoint of other networks before anything is overwritten.

    Raises:
        ValueError: naming the first tensor that differs.
    """
    for name, tensor in mine.items():
        shape = list(found[name].shape) if name in found else "nothing"
        if shape != list(tensor.shape):
            raise ValueError(
                f"{path} was made with other settings: {name} is {shape}, "
                f"this run's networks need {list(tensor.shape)}"
            )
