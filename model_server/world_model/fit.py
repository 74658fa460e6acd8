"""Fits an ensemble to a dataset: hold out episodes, stop early, keep the best members."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from model_server.world_model import batches, chance, clock, codes
from model_server.world_model.batches import Rows
from model_server.world_model.ensemble import Ensemble
from model_server.world_model.likelihood import clip, nll, terminal_weight, termination_loss
from model_server.world_model.units import Units
from moma_core import seeds
from moma_core.config import ModelConfig
from moma_core.datasets import Dataset
from moma_core.datasets.holdout import Parts, Runs, split
from moma_core.types import Transitions

_HOLDOUT_ROWS = 8192
"""Held-out rows to evaluate on: the same ones every time, for every member."""
_BOUND_WEIGHT = 0.01
"""Pull on the learned variance bounds (Chua et al. 2018, appendix A.1)."""
_GAIN = 0.01
"""Improvement of the held-out score, in nats per output, below which it only seems to improve."""


@dataclass(frozen=True, kw_only=True)
class FitProgress:
    """One evaluation on the held-out data."""

    update: int
    updates: int
    best: Float32[Tensor, " E"]
    """Best held-out score of each member so far; lower is better."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The elites and what they did not train on."""

    ensemble: Ensemble
    elites: tuple[int, ...]
    scores: Float32[Tensor, " E"]
    holdout: Transitions
    """Rows held out that the members were evaluated on."""
    held: Runs
    """Rows held out, all of them."""


def fit(
    dataset: Dataset,
    config: ModelConfig,
    seed: int,
    progress: Callable[[FitProgress], None],
    device: str = "cpu",
) -> Fitted:
    """Fits an ensemble, and again with the age as an input where what is left depends on it.

    The second is kept if it is better on the held-out rows.

    Args:
        dataset: the log.
        config: architecture, optimiser, hold-out, stopping and ranking.
        seed: of every draw.
        progress: called after every evaluation on the held-out data.
        device: where to; the result lies in this machine's memory.
    """
    if config.clock != "auto":
        return _fit(dataset, config, seed, progress, device)
    plain = _fit(dataset, replace(config, clock="never"), seed, progress, device)
    train, _ = split(dataset, config.holdout, config.holdout_by, seed)
    if not clock.asked(plain.ensemble, clock.sample(dataset, train, seed), plain.holdout):
        return plain
    timed = _fit(dataset, replace(config, clock="always"), seed, progress, device)
    return min(plain, timed, key=lambda fitted: float(fitted.scores[list(fitted.elites)].mean()))


def _fit(
    dataset: Dataset,
    config: ModelConfig,
    seed: int,
    progress: Callable[[FitProgress], None],
    device: str,
) -> Fitted:
    """Trains `config.members` networks on their own streams of rows and keeps the best ones.

    Args:
        dataset: the log.
        config: architecture, optimiser, hold-out, stopping and ranking.
        seed: of every draw.
        progress: called after every evaluation on the held-out data.
        device: where to; the result lies in this machine's memory.
    """
    train, held = split(dataset, config.holdout, config.holdout_by, seed)
    ensemble = _begin(dataset, train, config, seed)
    order = torch.randperm(len(held), generator=seeds.generator(seed, "look"))[:_HOLDOUT_ROWS]
    chosen = held.at(order.numpy())
    units, coded = copy.deepcopy(ensemble.units), copy.deepcopy(ensemble.codes)
    evaluated = batches.rows(units, coded, dataset, chosen).to(device)
    weight = terminal_weight(len(train), int(train.contains(dataset.terminals).sum()))
    best = _Best(ensemble.to(device), config)
    drawn = (rows.to(device) for rows in batches.draw(units, coded, dataset, train, config, seed))
    for update in optimise(ensemble, drawn, config, weight):
        if update % config.evaluate_every and update != config.updates:
            continue
        best.take(_score(ensemble, evaluated, config, seed))
        progress(FitProgress(update=update, updates=config.updates, best=best.score))
        if best.waited >= config.patience:
            break
    elites = best.restore(config.elites)
    ensemble = ensemble.eval().requires_grad_(False).cpu()
    holdout = dataset.rows(np.sort(chosen))
    if config.draw == "sample":
        ensemble.unweight(weight)
        _scatter(ensemble, holdout, seed)
    return Fitted(
        ensemble=ensemble,
        elites=tuple(elites),
        scores=best.score.cpu(),
        holdout=holdout,
        held=held,
    )


def _scatter(ensemble: Ensemble, holdout: Transitions, seed: int) -> None:
    """Gives the ensemble residuals of held-out rows to draw from."""
    units = ensemble.units
    inputs = units.inputs(holdout.state, holdout.action, holdout.age)
    code = ensemble.codes.encode(holdout.next_state)
    outputs = ensemble(inputs.expand(len(ensemble.residuals), *inputs.shape), code)
    away = chance.residuals(ensemble, outputs, units.targets(holdout))
    ensemble.residuals = chance.pool(away, seed)


def _begin(dataset: Dataset, train: Runs, config: ModelConfig, seed: int) -> Ensemble:
    """Builds the networks, in units taken from the rows to train on."""
    units = Units.of(dataset.spec, config)
    units.fit(Parts(dataset=dataset, rows=train))
    varies = (~units.constant).nonzero().flatten().tolist()
    ensemble = Ensemble(
        dataset.spec,
        config,
        members=config.members,
        terminates=len(dataset.terminals) > 0,
        codes=codes.find(dataset, varies) if config.draw == "sample" else None,
        seed=seed,
    )
    ensemble.units = units
    return ensemble


class _Best:
    """Every member's best weights so far, or its last ones (reference)."""

    def __init__(self, ensemble: Ensemble, config: ModelConfig) -> None:
        self.score = torch.full_like(ensemble.max_log_variance[:, 0, 0].detach(), math.inf)
        self.waited = 0
        """Evaluations since the members' mean last improved by `_GAIN`."""
        self._reached = math.inf
        self._ensemble, self._last = ensemble, config.stopping == "last"
        self._weights = [p.detach().clone() for p in ensemble.parameters()]

    def take(self, score: Tensor) -> None:
        """Keeps the members that are better than ever."""
        better = torch.ones_like(score, dtype=torch.bool) if self._last else score < self.score
        self.score = torch.where(better, score, self.score)
        for kept, parameter in zip(self._weights, self._ensemble.parameters(), strict=True):
            kept[better] = parameter.detach()[better]
        mean = float(self.score.mean())
        self.waited += 1
        if self._last or not mean > self._reached - _GAIN:
            self.waited, self._reached = 0, mean

    def restore(self, elites: int) -> list[int]:
        """Puts the kept weights back, drops all but the best members, returns which stayed."""
        for kept, parameter in zip(self._weights, self._ensemble.parameters(), strict=True):
            parameter.data.copy_(kept)
        members: list[int] = self.score.argsort()[:elites].tolist()
        self._ensemble.keep(members)
        return members


def optimise(
    ensemble: Ensemble, drawn: Iterator[Rows], config: ModelConfig, weight: float
) -> Iterator[int]:
    """Takes one optimiser step after the other and yields how many there were.

    Args:
        ensemble: what is trained, in place.
        drawn: every step's rows `[E N ...]`, each member its own.
        config: optimiser, schedule and likelihood.
        weight: of a terminal in the termination's loss.
    """
    optimiser = torch.optim.AdamW(
        ensemble.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    for update, rows in enumerate(drawn, start=1):
        if config.schedule == "cosine":
            decay = 0.5 * (1 + math.cos(math.pi * (update - 1) / config.updates))
            optimiser.param_groups[0]["lr"] = config.learning_rate * decay
        outputs = ensemble(rows.inputs, rows.code)
        loss = nll(ensemble, outputs, rows.targets, rows.code, config.nll_beta).sum()
        if outputs.termination_logit is not None:
            loss = loss + termination_loss(outputs.termination_logit, rows.terminated, weight)
        if config.bounds == "soft":
            spread = ensemble.max_log_variance - ensemble.min_log_variance
            loss = loss + _BOUND_WEIGHT * spread.mean(-1).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        clip(ensemble, config.grad_norm)
        optimiser.step()
        yield update


def _score(ensemble: Ensemble, held: Rows, config: ModelConfig, seed: int) -> Tensor:
    """Held-out score of every member, lower is better, on the same rows for all."""
    with torch.inference_mode():
        asked = held.inputs.expand(config.members, *held.inputs.shape)
        outputs = ensemble(asked, held.code)
        if config.ranking == "nll":
            score = nll(ensemble, outputs, held.targets, held.code)
        else:
            outputs = ensemble.expected(held.inputs, outputs)
            noise = torch.randn(outputs.mean.shape, generator=seeds.generator(seed, "ranking"))
            sampled = outputs.mean + noise.to(outputs.mean.device) * torch.exp(
                0.5 * outputs.log_variance
            )
            error = sampled - held.targets
            score = 0.5 * (error[..., :-1].norm(dim=-1) + error[..., -1].abs()).mean(1)
        return torch.nan_to_num(score, nan=math.inf)
