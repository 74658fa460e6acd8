"""The learner's update by itself, on segments that are there already."""

from __future__ import annotations

import statistics

import torch

from benchmarks.speed import flops
from benchmarks.speed.ground import Ground, policy, task
from benchmarks.speed.imagination import Imagination
from benchmarks.speed.sizes import Size
from benchmarks.speed.table import More, Row
from benchmarks.speed.timing import repeat
from learner.algorithms.moma_ppo.critic import Critic
from learner.algorithms.moma_ppo.ppo import MomaPPO
from moma_core.config import Config
from moma_core.nets.kernels import hidden
from moma_core.nets.policy import Actors
from moma_core.types import TaskSpec


def updating(ground: Ground, size: Size) -> list[Row]:
    """Transitions per second of the first update of fresh networks, all its epochs included."""
    if not size.whole:
        return []
    ground.say(f"PPO update, {size.name}")
    config, spec = size.config, task(size)
    imagination = Imagination(spec, config, ground.model(size))
    segments = [imagination.segment()]
    transitions = int(segments[0].valid.sum())
    epochs: list[float] = []

    def update() -> None:
        # A second update on the same segments would move further, and stop after fewer epochs.
        epochs.append(fresh(spec, config).update(segments).metrics["losses/epochs"])

    rates = repeat(update, transitions, ground.effort)
    done = statistics.mean(epochs)
    parts = ground.matmul.parts(policy(size), cost(fresh(spec, config), done))
    more: dict[str, More] = {"transitions": transitions, "epochs": done}
    return [Row(name="PPO update", size=size.name, rates=rates, parts=parts, more=more)]


def fresh(spec: TaskSpec, config: Config) -> MomaPPO:
    """Returns networks that have learnt nothing, in units of 1."""
    width, device = spec.state_width, torch.device(config.device)
    actors = Actors(spec, config.actor, config.seed)
    critic = Critic(torch.zeros(width), torch.ones(width), config.ppo, config.seed)
    actors.hidden = critic.hidden = hidden(config.precision)
    return MomaPPO(actors, critic, config.ppo, config.seed, device)


def cost(ppo: MomaPPO, epochs: float) -> flops.Flop:
    """Returns the FLOP of one transition in an update."""
    whole = flops.forward(ppo.actors, ppo.critic)["fp32"]
    low = 0.0
    if ppo.actors.action_mask.device.type == "cpu" and ppo.actors.hidden == torch.bfloat16:
        low = flops.forward(*ppo.actors.layers, *ppo.critic.layers)["fp32"]
    once = {"fp32": whole - low} | ({"bf16": low} if low else {})
    return flops.scaled(once, flops.TRAINING * epochs)
