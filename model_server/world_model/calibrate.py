"""What a model is worth on data it did not train on: errors, coverage, disagreement. Pure."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from model_server.world_model import uncertainty
from model_server.world_model.ensemble import Outputs
from model_server.world_model.fit import Fitted
from model_server.world_model.likelihood import nll
from model_server.world_model.model import WorldModel
from moma_core import seeds
from moma_core.datasets import Dataset
from moma_core.datasets.holdout import Runs, held_episodes
from moma_core.datasets.mapped import take
from moma_core.types import Metrics, Query

QUANTILES = ("0.50", "0.90", "0.95", "0.99", "0.999", "1.00")
_NORMAL = {"0.50": 0.67449, "0.90": 1.64485}
"""Half-widths, in standard deviations, of the normal's central intervals."""


def held_out(fitted: Fitted) -> dict[str, Any]:
    """One-step figures: error per feature against persistence, coverage, disagreement quantiles."""
    ensemble, units = fitted.ensemble, fitted.ensemble.units
    data = fitted.holdout
    inputs, targets = units.inputs(data.state, data.action), units.targets(data)
    with torch.inference_mode():
        outputs: Outputs = ensemble(inputs.expand(len(fitted.elites), *inputs.shape))
        disagreement = uncertainty.disagreement(outputs.mean * units.output_scale)
        varies = torch.cat([~units.constant, torch.ones(1, dtype=torch.bool)])
        error = (outputs.mean.mean(0) - targets).square().mean(0).sqrt() * varies
        still = targets.square().mean(0).sqrt()
        distance = (outputs.mean - targets).abs() / torch.exp(0.5 * outputs.log_variance)
        coverage = {
            name: float((distance[..., varies] <= width).float().mean())
            for name, width in _NORMAL.items()
        }
        levels = torch.tensor([float(name) for name in QUANTILES])
        quantiles = torch.quantile(disagreement, levels).tolist()
        return {
            "rows": len(inputs),
            "nll": nll(ensemble, outputs, targets).tolist(),
            "rmse": error.tolist(),
            "persistence_rmse": still.tolist(),
            "coverage": coverage,
            "disagreement_quantiles": dict(zip(QUANTILES, quantiles, strict=True)),
        }


def summary(report: dict[str, Any]) -> Metrics:
    """Returns the few figures of `held_out` that go to TensorBoard."""
    error, still = (torch.tensor(report[name]) for name in ("rmse", "persistence_rmse"))
    varies = still > 0
    return {
        "model/holdout_nll": sum(report["nll"]) / len(report["nll"]),
        "model/holdout_rmse": float(error[varies].mean()),
        "model/holdout_rmse_reward": float(error[-1]),
        "model/persistence_rmse": float(still[varies].mean()),
        "model/coverage_50": report["coverage"]["0.50"],
        "model/coverage_90": report["coverage"]["0.90"],
        "model/disagreement_q99": report["disagreement_quantiles"]["0.99"],
    }


def along_episodes(
    model: WorldModel, dataset: Dataset, held: Runs, seed: int, episodes: int = 64
) -> dict[str, object]:
    """Error of the model run along held-out action sequences, against a state that never moves.

    Args:
        model: the model.
        dataset: the log.
        held: held-out rows; only episodes held out whole are used.
        seed: of the members drawn.
        episodes: how many episodes at most.
    """
    whole = held_episodes(dataset, held)[:episodes]
    if len(whole) == 0:
        return {"episodes": 0, "steps": [], "rmse": [], "persistence_rmse": []}
    first = dataset.episode_start[whole]
    horizon = int((dataset.edges[whole + 1] - first).min())
    state = start = torch.from_numpy(take(dataset.state, first + whole))
    row_seed = seeds.rows(seed, len(whole))
    error, still = [], []
    for step in range(horizon):
        action = torch.from_numpy(take(dataset.action, first + step))
        query = Query(
            state=state,
            action=action,
            age=torch.full((len(whole),), step),
            seed=seeds.mix(row_seed + step),
        )
        state = model.predict(query).next_state
        truth = torch.from_numpy(take(dataset.state, first + whole + step + 1))
        error.append(_rmse(state, truth, model))
        still.append(_rmse(start, truth, model))
    return {
        "episodes": len(whole),
        "steps": list(range(1, horizon + 1)),
        "rmse": error,
        "persistence_rmse": still,
    }


def _rmse(state: Tensor, truth: Tensor, model: WorldModel) -> list[float]:
    """Root mean square error per feature, in standard deviations of the data."""
    error: Float32[Tensor, " S"] = (state - truth).square().mean(0).sqrt()
    return (error / model.state_std).tolist()
