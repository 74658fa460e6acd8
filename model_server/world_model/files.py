"""A fitted model as a directory: weights, cards and what was measured of it. Never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32
from safetensors.torch import load_file
from torch import Tensor

from model_server.world_model import calibrate
from model_server.world_model.accelerator import Accelerated
from model_server.world_model.codes import Codes
from model_server.world_model.ensemble import Ensemble
from model_server.world_model.fit import Fitted
from model_server.world_model.model import WorldModel
from moma_core import documents, seeds
from moma_core.config import ModelConfig
from moma_core.datasets import Dataset
from moma_core.datasets.mapped import chunks
from moma_core.nets.kernels import hidden
from moma_core.storage import digest, new_directory, save_tensors, verify
from moma_core.types import ModelCard

_WEIGHTS, _CARD, _CONFIG, _REPORT = "model.safetensors", "card.json", "config.json", "report.json"


def save(
    fitted: Fitted, dataset: Dataset, seed: int, path: Path, data_sha256: str = ""
) -> WorldModel:
    """Writes the model with its card and its report, whole, and returns it.

    Args:
        fitted: the elites and what they did not train on.
        dataset: the log that they were fitted to.
        seed: of the fit; the draws of the report depend on it.
        path: the model's directory; one that exists is replaced.
        data_sha256: digest of the log, by which the model is refused where there is another one.
    """
    box = _box(dataset)
    report = calibrate.held_out(fitted, dataset.spec.state_names, seed)
    card = ModelCard(
        task=dataset.spec,
        members=fitted.ensemble.config.members,
        elites=fitted.elites,
        disagreement_quantiles=report["disagreement_quantiles"],
        measured=calibrate.summary(report),
        terminates=len(dataset.terminals) > 0,
        digest="",
        data_sha256=data_sha256,
    )
    draw = seeds.derive(seed, "calibrate")
    model = WorldModel(card, fitted.ensemble, box)
    path_error = calibrate.along_episodes(model, model.state_std, dataset, fitted.held, draw)
    measured = {"held_out": report, "along_episodes": path_error}
    return write(card, fitted.ensemble, box, measured, path)


def write(
    card: ModelCard,
    ensemble: Ensemble,
    box: Float32[Tensor, "2 D"],
    measured: Mapping[str, object],
    path: Path,
) -> WorldModel:
    """Writes a model's directory, whole, and returns the model.

    Args:
        card: what the model says of itself; its digest becomes that of the weights.
        ensemble: holding exactly the elites.
        box: lowest and highest value of every state feature and of the reward in the data.
        measured: the report.
        path: the directory; one that exists is replaced.
    """
    with new_directory(path) as directory:
        save_tensors({**ensemble.state_dict(), "box": box}, directory / _WEIGHTS)
        low, high = (tuple(side) for side in box.tolist())
        card = replace(card, digest=digest(directory / _WEIGHTS), low=low, high=high)
        (directory / _CARD).write_text(documents.dump(card), encoding="utf-8")
        (directory / _CONFIG).write_text(documents.dump(ensemble.config), encoding="utf-8")
        (directory / _REPORT).write_text(json.dumps(measured, indent=1), encoding="utf-8")
    return WorldModel(card, ensemble, box)


def _box(dataset: Dataset) -> Float32[Tensor, "2 D"]:
    """Lowest and highest value of every state feature and, last, of the reward."""
    low, high = [], []
    for array in (dataset.state, dataset.reward):
        parts = [(part.min(axis=0), part.max(axis=0)) for _, part in chunks(array)]
        low.append(np.min([part[0] for part in parts], axis=0))
        high.append(np.max([part[1] for part in parts], axis=0))
    return torch.from_numpy(np.stack([np.append(*low), np.append(*high)]))


def load(path: Path, precision: Literal["auto", "fp32", "bf16"] = "fp32") -> WorldModel:
    """Opens a model directory, its digests checked first.

    Args:
        path: the directory.
        precision: of the hidden layers; auto takes bf16 where it is native.

    Raises:
        StorageError: a file is missing or has changed.
        ValueError: a file is not what it should be.
    """
    verify(path)
    told = card(path)
    config = documents.load(ModelConfig, path / _CONFIG)
    weights = load_file(path / _WEIGHTS)
    box = weights.pop("box")
    ensemble = Ensemble(
        told.task,
        config,
        members=len(told.elites),
        terminates=told.terminates,
        codes=Codes(weights["codes.features"], weights["codes.values"]),
    )
    ensemble.residuals = torch.empty_like(weights["residuals"])
    ensemble.load_state_dict(weights)
    if hidden(precision) == torch.bfloat16:
        ensemble.lower()
    return WorldModel(told, ensemble, box)


def load_on(
    device: Literal["cpu", "cuda"], path: Path, precision: Literal["auto", "fp32", "bf16"]
) -> WorldModel | Accelerated:
    """Opens a model directory to compute on a device.

    Args:
        device: where to compute.
        path: the model's directory.
        precision: of the hidden layers; auto: bf16 where it is native, as on every GPU of today.
    """
    if device == "cpu":
        return load(path, precision)
    model = load(path, "bf16" if precision == "auto" else precision)
    return Accelerated(model, torch.device(device))


def card(path: Path) -> ModelCard:
    """Reads what a model says of itself."""
    return documents.load(ModelCard, path / _CARD)


def report(path: Path) -> dict[str, dict[str, object]]:
    """Reads what was measured of the model when it was fitted."""
    loaded: dict[str, dict[str, object]] = documents.read(path / _REPORT)
    return loaded
