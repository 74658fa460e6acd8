"""The world model by itself: predicting, and being fitted."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.speed import flops
from benchmarks.speed.ground import ROWS, Ground, hidden, task
from benchmarks.speed.sizes import Size
from benchmarks.speed.table import Row
from benchmarks.speed.timing import repeat
from model_server.world_model.accelerator import Accelerated
from model_server.world_model.batches import Rows
from model_server.world_model.ensemble import Ensemble
from model_server.world_model.fit import optimise
from model_server.world_model.model import WorldModel
from moma_core import seeds
from moma_core.ports import Dynamics
from moma_core.types import Query, TaskSpec

_ENDLESS = 10**9
"""Optimiser steps over which the learning rate decays: it hardly does."""
_DRAWN = 4
"""Batches that are gone through in turn."""


def predicting(ground: Ground, size: Size) -> list[Row]:
    """Rows per second of one prediction after the other, in this process, on all cores."""
    ground.say(f"ensemble forward, {size.name}")
    model = ground.model(size)
    rates = repeat(prediction(model), ROWS, ground.effort)
    parts = ground.matmul.parts(hidden(size, ROWS), cost(model))
    return [Row(name="ensemble forward", size=size.name, rates=rates, parts=parts)]


def prediction(model: Dynamics) -> Callable[[], object]:
    """Returns what asks the model for rows of noise."""
    spec, random = model.describe().task, seeds.generator(0, "benchmark")
    state = torch.randn(ROWS, spec.state_width, generator=random)
    action = spec.clamp(torch.randn(ROWS, *spec.action_mask.shape, generator=random))
    seed = seeds.rows(0, ROWS)
    query = Query(state=state, action=action, age=torch.zeros_like(seed), seed=seed)
    return lambda: model.predict(query)


def cost(model: WorldModel | Accelerated) -> flops.Flop:
    """Returns the FLOP of one predicted row."""
    return flops.forward(model.ensemble)


def training(ground: Ground, size: Size) -> list[Row]:
    """Member-samples per second of the fit's optimiser steps, on batches that are drawn already."""
    ground.say(f"ensemble training, {size.name}")
    config, spec = replace(size.model, updates=_ENDLESS), task(size)
    ensemble = Ensemble(spec, config, members=config.members, terminates=size.terminates)
    drawn = (_batch(spec, config.members, config.batch, seed) for seed in range(_DRAWN))
    batches = [batch.to(size.device) for batch in drawn]
    steps = optimise(ensemble.to(size.device), itertools.cycle(batches), config, weight=1.0)
    rates = repeat(lambda: next(steps), config.members * config.batch, ground.effort)
    each = flops.scaled(flops.forward(ensemble), flops.TRAINING / config.members)
    parts = ground.matmul.parts(hidden(size, config.batch), each)
    return [Row(name="ensemble training", size=size.name, rates=rates, parts=parts)]


def _batch(spec: TaskSpec, members: int, rows: int, seed: int) -> Rows:
    """Returns rows of noise in the networks' units."""
    random = seeds.generator(seed, "benchmark")
    width = spec.state_width + spec.action_mask.numel()
    return Rows(
        inputs=torch.randn(members, rows, width, generator=random),
        targets=torch.randn(members, rows, spec.state_width + 1, generator=random),
        code=torch.zeros(members, rows, dtype=torch.int64),
        terminated=torch.rand(members, rows, generator=random) < 0.1,
    )
