"""What comes next, drawn: a code by its probability, the rest, given it, by held-out residuals.

A draw takes one held-out row's whole vector of standardised residuals, so that features vary
together as they do in the log, with its tails and its forks, and intervals hold what they say by
construction: networks call their noise too wide or too narrow, rows not trained on show by how much
(conformal prediction's split: Lei et al. 2018, section 2.2).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from model_server.world_model import codes
from model_server.world_model.ensemble import Ensemble, Outputs
from moma_core import seeds
from moma_core.types import Query

POOL = 1024
"""Rows of residuals kept with a model at most."""
_RESIDUAL, _CODE, _END = 1, 2, 3
"""Streams of a row's draws; the member's needs none."""


def code(
    logit: Float32[Tensor, "E B C"] | None, query: Query, member: Int64[Tensor, " B"]
) -> Int64[Tensor, " B"]:
    """Draws the code of what comes next, each row by its own seed and age; 0 where none is coded.

    Args:
        logit: what the members said of the codes.
        query: the rows.
        member: which of the members each row is drawn from.
    """
    if logit is None:
        return torch.zeros_like(query.age)
    row = torch.arange(query.rows, device=member.device)
    uniform = seeds.uniform(seeds.along(query.seed, query.age, _CODE))
    return codes.pick(logit[member, row], uniform)


def next_state(
    ensemble: Ensemble,
    outputs: Outputs,
    query: Query,
    member: Int64[Tensor, " B"],
    code: Int64[Tensor, " B"],
) -> Float32[Tensor, "B S"]:
    """Draws what comes next, each row by its own seed and age; or gives the mean (reference).

    Args:
        ensemble: with the residuals that may be drawn.
        outputs: what its members said.
        query: the rows.
        member: which of the members each row is drawn from.
        code: drawn for each row.
    """
    row, units = torch.arange(query.rows, device=member.device), ensemble.units
    output = outputs.mean[member, row, :-1]
    if ensemble.config.draw == "mean":
        return units.next_state(query.state, output)
    seed = seeds.along(query.seed, query.age, _RESIDUAL)
    picked = seeds.choose(seed, ensemble.residuals.shape[1])
    deviation = torch.exp(0.5 * outputs.log_variance[member, row, :-1])
    output = output + deviation * ensemble.residuals[member, picked, :-1]
    state = units.next_state(query.state, output)
    if outputs.code_logit is not None:
        state[:, ensemble.codes.features] = ensemble.codes.values[code]
    return state


def terminated(
    ensemble: Ensemble, outputs: Outputs, query: Query, member: Int64[Tensor, " B"]
) -> Bool[Tensor, " B"]:
    """Draws whether each row ends; or says whether it more likely does than not (reference).

    Args:
        ensemble: whose outputs these are.
        outputs: what its members said.
        query: the rows.
        member: which of the members each row is drawn from.
    """
    row = torch.arange(query.rows, device=member.device)
    if outputs.termination_logit is None:
        return torch.zeros_like(row, dtype=torch.bool)
    logit = outputs.termination_logit[member, row]
    if ensemble.config.draw == "mean":
        return logit > 0
    return seeds.uniform(seeds.along(query.seed, query.age, _END)) < logit.sigmoid()


def residuals(
    ensemble: Ensemble, outputs: Outputs, targets: Float32[Tensor, "N D"]
) -> Float32[Tensor, "E N D"]:
    """Returns each member's residuals over its own deviations; 0 of what is not Gaussian.

    Args:
        ensemble: whose outputs these are.
        outputs: what its members predict.
        targets: what they should, in output units.
    """
    away = (targets - outputs.mean) * torch.exp(-0.5 * outputs.log_variance)
    return away * ensemble.gaussian


def pool(away: Float32[Tensor, "E N D"], seed: int) -> Float32[Tensor, "E K D"]:
    """Returns the residuals to keep: those of at most `POOL` rows, the same ones of all members.

    Args:
        away: standardised residuals of rows that no member was trained on.
        seed: of the draw.
    """
    order = torch.randperm(away.shape[1], generator=seeds.generator(seed, "pool"))[:POOL]
    return away[:, order.sort().values].contiguous()
