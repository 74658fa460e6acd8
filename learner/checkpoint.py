"""Everything that learning changes, atomic and digested; resuming goes on bit for bit.

All draws of the learner depend on (seed, version), so that no generator state has to be kept.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from learner.algorithms.moma_ppo.ppo import PPO
from moma_core import documents
from moma_core.storage import StorageError, drop_remains, new_directory, verify, write_text

KEEP = 3
_LATEST, _STATE, _TENSORS = "LATEST", "state.json", "tensors.safetensors"


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What goes on counting over a resume."""

    version: int
    transitions: int
    resumes: int
    seconds: float
    """Seconds of training, in all processes so far."""


def save(directory: Path, ppo: PPO, counters: Counters, carried: nn.Module | None = None) -> Path:
    """Writes a checkpoint and points LATEST to it; the newest `KEEP` stay.

    Args:
        directory: of all checkpoints of the run.
        ppo: what learning changes.
        counters: what goes on counting.
        carried: rollouts that go on in the next round, where they do.
    """
    target = directory / f"{counters.version:08d}"
    with new_directory(target) as aside:
        save_file(_tensors(ppo, carried), aside / _TENSORS)
        (aside / _STATE).write_text(json.dumps(asdict(counters), indent=1), encoding="utf-8")
    write_text(directory / _LATEST, target.name + "\n")
    for old in _newest_first(directory)[KEEP:]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def load(directory: Path, ppo: PPO, carried: nn.Module | None = None) -> Counters | None:
    """Restores the newest checkpoint that is whole; None when there is none at all.

    Raises:
        StorageError: there are checkpoints, but none is whole.
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
        _check_shapes(path, _tensors(ppo, carried), tensors)
        _restore(ppo, carried, tensors)
        ppo.version = counters.version
        return counters
    if faults:
        raise StorageError(f"no checkpoint in {directory} is whole: {'; '.join(faults)}")
    return None


def keep_policy(directory: Path, ppo: PPO, transitions: int, score: float | None) -> None:
    """Keeps the actors for good, with what was known of them."""
    with new_directory(directory / f"{ppo.version:08d}") as aside:
        state = {f"actors.{k}": v.contiguous() for k, v in ppo.actors.state_dict().items()}
        save_file(state, aside / _TENSORS)
        known = {"version": ppo.version, "transitions": transitions, "score": score}
        (aside / _STATE).write_text(json.dumps(known, indent=1), encoding="utf-8")


def actors(path: Path) -> dict[str, Tensor]:
    """Reads the actors' parameters of one checkpoint, verified."""
    verify(path)
    prefix = "actors."
    tensors = load_file(path / _TENSORS)
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


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


def _check_shapes(path: Path, mine: dict[str, Tensor], found: dict[str, Tensor]) -> None:
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


def _modules(ppo: PPO, carried: nn.Module | None) -> dict[str, nn.Module]:
    modules = {name: getattr(ppo, name) for name in ("actors", "critic", "scale", "moments")}
    return modules if carried is None else modules | {"carried": carried}


def _tensors(ppo: PPO, carried: nn.Module | None) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, module in _modules(ppo, carried).items():
        state = module.state_dict()
        tensors.update({f"{name}.{key}": value for key, value in state.items()})
    for state in ppo.optimiser.state_dict()["state"].values():
        tensors.update({f"optimiser.all.{key}": value for key, value in state.items()})
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _restore(ppo: PPO, carried: nn.Module | None, tensors: dict[str, Tensor]) -> None:
    parts: dict[str, dict[str, Tensor]] = {"optimiser": {}}
    for name, tensor in tensors.items():
        part, _, key = name.partition(".")
        parts.setdefault(part, {})[key] = tensor
    for name, module in _modules(ppo, carried).items():
        module.load_state_dict(parts[name])
    moments = _moments(parts["optimiser"])
    state = {0: moments} if moments else {}
    groups = ppo.optimiser.state_dict()["param_groups"]
    ppo.optimiser.load_state_dict({"state": state, "param_groups": groups})


def _moments(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the optimiser's state, joined where a checkpoint has it parameter by parameter.

    So it was kept before all parameters became one vector, in the same order.
    """
    parts: dict[str, list[Tensor]] = {}
    for name in sorted(tensors, key=lambda name: name.partition(".")[0].rjust(8)):
        parts.setdefault(name.partition(".")[2], []).append(tensors[name])
    return {
        key: values[0] if key == "step" else torch.cat([value.flatten() for value in values])
        for key, values in parts.items()
    }
