"""What a model is worth on data it did not train on: errors, coverage, disagreement. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from model_server.world_model import chance, uncertainty
from model_server.world_model.ensemble import Ensemble, Outputs
from model_server.world_model.fit import Fitted
from model_server.world_model.likelihood import nll
from moma_core import seeds
from moma_core.datasets import Dataset
from moma_core.datasets.holdout import Runs, held_episodes
from moma_core.datasets.mapped import take
from moma_core.ports import Dynamics
from moma_core.types import Metrics, Query, Transitions

QUANTILES = ("0.50", "0.90", "0.95", "0.99", "0.999", "1.00")
_LEVELS = ("0.50", "0.90")
"""Central intervals whose coverage is measured."""


def held_out(fitted: Fitted, names: Sequence[str], seed: int) -> dict[str, Any]:
    """One-step figures: error per feature against persistence, coverage, disagreement quantiles.

    Args:
        fitted: the elites and what they did not train on.
        names: of the state features.
        seed: of the draws behind the coverage.
    """
    ensemble, units = fitted.ensemble, fitted.ensemble.units
    data = fitted.holdout
    inputs, targets = units.inputs(data.state, data.action, data.age), units.targets(data)
    code = ensemble.codes.encode(data.next_state)
    with torch.inference_mode():
        asked = inputs.expand(len(fitted.elites), *inputs.shape)
        outputs: Outputs = ensemble(asked, code)
        expected = ensemble.expected(inputs, outputs)
        disagreement = uncertainty.disagreement(expected.mean * units.output_scale)
        varies = torch.cat([~units.constant, torch.ones(1, dtype=torch.bool)])
        foreseen = _foreseen(ensemble, asked, inputs, outputs.code_logit)
        mean = (expected if foreseen is None else foreseen).mean.mean(0)
        error = (mean - targets).square().mean(0).sqrt() * varies
        still = targets.square().mean(0).sqrt()
        rank = ranks(ensemble, outputs, data, seed)
        inside = {
            level: ((rank - 0.5).abs() <= float(level) / 2).float().mean((0, 1))
            for level in _LEVELS
        }
        counted = [name for name, counts in zip((*names, "reward"), varies, strict=True) if counts]
        levels = torch.tensor([float(name) for name in QUANTILES])
        quantiles = torch.quantile(disagreement, levels).tolist()
        return {
            "rows": len(inputs),
            "nll": nll(ensemble, outputs, targets, code).tolist(),
            "rmse": error.tolist(),
            "persistence_rmse": still.tolist(),
            "coverage": {
                level: dict(zip(counted, share[varies].tolist(), strict=True))
                for level, share in inside.items()
            },
            "coded": [names[i] for i in ensemble.codes.features.tolist()],
            "codes": len(ensemble.codes),
            "disagreement_quantiles": dict(zip(QUANTILES, quantiles, strict=True)),
        }


def _foreseen(
    ensemble: Ensemble,
    asked: Float32[Tensor, "E N I"],
    inputs: Float32[Tensor, "N I"],
    logit: Float32[Tensor, "E N C"] | None,
) -> Outputs | None:
    """Returns what the elites say where nobody knows what came: given the likeliest code.

    Args:
        ensemble: the elites.
        asked: the inputs of every member.
        inputs: the same, once.
        logit: what they say of the codes.

    Returns:
        None where nothing is coded: what came makes no difference to what they say.
    """
    if logit is None:
        return None
    likeliest = logit.softmax(-1).mean(0).argmax(-1)
    return ensemble.expected(inputs, ensemble.given(asked, logit, likeliest))


def ranks(
    ensemble: Ensemble, outputs: Outputs, data: Transitions, seed: int
) -> Float32[Tensor, "E N D"]:
    """Returns where in each member's distribution came what came, 0 to 1: uniform if it is right.

    Residuals are ranked among those of other episodes: one half's among the other's. Of a value
    that has a probability of its own, a place within it is drawn (Smith 1985, randomised
    probability integral transform).

    Args:
        ensemble: whose outputs these are.
        outputs: what its members predict of held-out rows.
        data: those rows.
        seed: of the halves and of the places drawn.
    """
    away = chance.residuals(ensemble, outputs, ensemble.units.targets(data))
    if ensemble.config.draw == "mean":
        normal: Tensor = torch.special.ndtr(away)
        return normal
    within = torch.rand(away.shape[1], generator=seeds.generator(seed, "within"))
    rank, one = torch.empty_like(away), _half(data.episode, seed)
    for asked, pool in ((one, ~one), (~one, one)):
        known = away[:, pool].transpose(1, 2).contiguous().sort().values
        found = away[:, asked].transpose(1, 2).contiguous()
        low, high = (torch.searchsorted(known, found, right=right) for right in (False, True))
        place = (low + within[asked] * (high - low)) / known.shape[-1]
        rank[:, asked] = place.transpose(1, 2)
    if outputs.code_logit is not None:
        share = outputs.code_logit.softmax(-1)
        for feature, value in zip(ensemble.codes.features, ensemble.codes.values.T, strict=True):
            came = data.next_state[:, feature, None]
            below, equal = share * (value < came), share * (value == came)
            rank[..., feature] = below.sum(-1) + within * equal.sum(-1)
    return rank


def _half(episode: Int64[Tensor, " N"], seed: int) -> Bool[Tensor, " N"]:
    """Chooses the rows of one half of the episodes; of a single episode, its first half."""
    numbers, place = episode.unique(return_inverse=True)
    if len(numbers) == 1:
        return torch.arange(len(episode)) < (len(episode) + 1) // 2
    order = torch.randperm(len(numbers), generator=seeds.generator(seed, "half"))
    return (order < (len(numbers) + 1) // 2)[place]


def summary(report: dict[str, Any]) -> Metrics:
    """Returns the few figures of `held_out` that go to TensorBoard."""
    error, still = (torch.tensor(report[name]) for name in ("rmse", "persistence_rmse"))
    varies = still > 0
    return {
        "model/holdout_nll": sum(report["nll"]) / len(report["nll"]),
        "model/holdout_rmse": float(error[varies].mean()),
        "model/holdout_rmse_reward": float(error[-1]),
        "model/persistence_rmse": float(still[varies].mean()),
        "model/coverage_50": fmean(report["coverage"]["0.50"].values()),
        "model/coverage_90": fmean(report["coverage"]["0.90"].values()),
        "model/disagreement_q99": report["disagreement_quantiles"]["0.99"],
    }


def along_episodes(
    model: Dynamics,
    scale: Float32[Tensor, " S"],
    dataset: Dataset,
    held: Runs,
    seed: int,
    episodes: int = 64,
) -> dict[str, object]:
    """Error of a model run along held-out action sequences, against a state that never moves.

    At each step it is that of the episodes that last so long, and it is followed while half do.

    Args:
        model: the model; it sees the first state of an episode, its actions, and no more.
        scale: a unit of every feature, the data's deviation.
        dataset: the log.
        held: held-out rows; only episodes held out whole are used.
        seed: of the members drawn.
        episodes: how many episodes at most.
    """
    whole = held_episodes(dataset, held)[:episodes]
    if len(whole) == 0:
        return {"episodes": 0, "steps": [], "rmse": [], "persistence_rmse": []}
    first, lengths = dataset.episode_start[whole], dataset.lengths[whole]
    horizon = int(np.median(lengths))
    state = start = torch.from_numpy(take(dataset.state, first + whole))
    row_seed = seeds.rows(seed, len(whole))
    error, still = [], []
    for step in range(horizon):
        lasts = np.flatnonzero(lengths > step)
        on = torch.from_numpy(lasts)
        query = Query(
            state=state[on],
            action=torch.from_numpy(take(dataset.action, first[lasts] + step)),
            age=torch.full((len(on),), step),
            seed=seeds.mix(row_seed[on] + step),
        )
        state = state.index_copy(0, on, model.predict(query).next_state)
        truth = torch.from_numpy(take(dataset.state, first[lasts] + whole[lasts] + step + 1))
        error.append(_rmse(state[on], truth, scale))
        still.append(_rmse(start[on], truth, scale))
    return {
        "episodes": len(whole),
        "steps": list(range(1, horizon + 1)),
        "rmse": error,
        "persistence_rmse": still,
    }


def _rmse(
    state: Float32[Tensor, "B S"], truth: Float32[Tensor, "B S"], scale: Float32[Tensor, " S"]
) -> list[float]:
    """Root mean square error per feature, in its unit."""
    found: list[float] = ((state - truth).square().mean(0).sqrt() / scale).tolist()
    return found
