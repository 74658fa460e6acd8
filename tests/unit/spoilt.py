"""Copies of logs that a test may spoil, array by array."""

from __future__ import annotations

import shutil

import numpy as np

from moma.log_tools.findings import find
from moma_core.datasets import Dataset


def copy_of(dataset, path):
    """Copies a log and returns where."""
    return shutil.copytree(dataset.path, path)


def put(path, name, index, value):
    """Writes a value into one array of a log."""
    array = np.load(path / f"{name}.npy")
    array[index] = value
    np.save(path / f"{name}.npy", array)


def found(path):
    """What a look into the log brings up."""
    return find(Dataset.load(path, checked=False))


def only(path, *words):
    """The one finding that names all these words; the others are passed over."""
    hits = [finding for finding in found(path) if all(word in finding.what for word in words)]
    assert len(hits) == 1, [finding.what for finding in found(path)]
    return hits[0]


def none(path, *words):
    """No finding names all these words."""
    return not any(all(word in finding.what for word in words) for finding in found(path))
