"""Whether what comes next depends on the age: shown by what a model without a clock leaves over."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from model_server.world_model.ensemble import Ensemble
from model_server.world_model.units import AGES
from moma_core import seeds
from moma_core.datasets import Dataset
from moma_core.datasets.holdout import Runs
from moma_core.types import Transitions

_ROWS = 8192
"""Rows trained on that are looked at."""
_OF_REST = 0.05
"""Share of what is left over that the age has to explain."""
_OF_ALL = 0.005
"""Share of an output's whole variance that the age has to explain."""
# Reward that is paid in certain steps alone: 0.51 and 0.32 (`payday` of benchmarks/proving), which
# does not show its clock. Three carts, whose dynamics never change: up to 0.013 and 0.0005, for a
# network's faults depend on where in the state space it is, and episodes begin in one place.
_ERRORS = 4
"""Standard errors of a share, where bins mean nothing, that it has to pass as well."""


def sample(dataset: Dataset, train: Runs, seed: int) -> Transitions:
    """Returns some of the rows trained on.

    Args:
        dataset: the log.
        train: the rows trained on.
        seed: of the draw.
    """
    order = torch.randperm(len(train), generator=seeds.generator(seed, "clock"))[:_ROWS]
    return dataset.rows(train.at(np.sort(order.numpy())))


def asked(ensemble: Ensemble, train: Transitions, held: Transitions) -> bool:
    """Says whether the age explains enough of what is left over; a feature may tell it too.

    Args:
        ensemble: the elites, which do not see the age.
        train: rows trained on.
        held: rows held out.
    """
    of_rest, of_all = explained(ensemble, train, held)
    # Means of n rows in m bins miss by 2 sqrt(m / n n') on average over n' others.
    error = 2 * math.sqrt(AGES / (len(train.age) * len(held.age)))
    return bool(((of_rest > max(_OF_REST, _ERRORS * error)) & (of_all > _OF_ALL)).any())


def explained(
    ensemble: Ensemble, train: Transitions, held: Transitions
) -> tuple[Float32[Tensor, " D"], Float32[Tensor, " D"]]:
    """Returns how much of each output's variance the age explains on held-out rows.

    Each bin of the age predicts the mean of what is left over in the rows trained on.

    Args:
        ensemble: the elites, which do not see the age.
        train: rows trained on.
        held: rows held out.

    Returns:
        Shares of what is left over, and of the whole variance; below 0 where bins explain nothing.
    """
    most = int(torch.cat([train.age, held.age]).max()) + 1
    bins = min(most, AGES)
    fitted, left = left_over(ensemble, train), left_over(ensemble, held)
    place = train.age * bins // most
    count = torch.bincount(place, minlength=bins).clamp_min(1)
    mean = torch.zeros(bins, fitted.shape[1]).index_add(0, place, fitted) / count[:, None]
    rest = (left - mean[held.age * bins // most]).square().mean(0)
    before, whole = left.square().mean(0), ensemble.units.targets(held).var(0, correction=0)
    gain = before - rest
    return gain / before.clamp_min(1e-12), gain / whole.clamp_min(1e-12)


def left_over(ensemble: Ensemble, data: Transitions) -> Float32[Tensor, "N D"]:
    """Returns what came less the elites' mean, in output units; 0 of constant features.

    Args:
        ensemble: the elites.
        data: the rows.
    """
    inputs = ensemble.units.inputs(data.state, data.action, data.age)
    with torch.inference_mode():
        code = ensemble.codes.encode(data.next_state)
        outputs = ensemble(inputs.expand(len(ensemble.residuals), *inputs.shape), code)
        mean = ensemble.expected(inputs, outputs).mean.mean(0)
    varies = torch.nn.functional.pad(~ensemble.units.constant, (0, 1), value=True)
    return (ensemble.units.targets(data) - mean) * varies
