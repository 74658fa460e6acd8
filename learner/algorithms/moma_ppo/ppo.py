"""Decentralised actors, a centralised critic, their optimiser: segments in, metrics out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32
from torch import Tensor

from learner.algorithms.moma_ppo import losses
from learner.algorithms.moma_ppo.batch import Batch, Rows, prepare
from learner.algorithms.moma_ppo.critic import Critic, RunningMoments, ValueScale
from learner.algorithms.moma_ppo.flat import flatten, limit
from moma_core import seeds
from moma_core.config import Config
from moma_core.nets.kernels import hidden
from moma_core.nets.policy import Actors
from moma_core.types import Metrics, PolicySnapshot, TaskSpec, Trajectory


class PPO:
    """Everything that learning changes. Its draws depend on (seed, version) alone."""

    def __init__(
        self,
        spec: TaskSpec,
        config: Config,
        state_mean: Float32[Tensor, " S"],
        state_std: Float32[Tensor, " S"],
    ) -> None:
        """Builds networks on `config.device` from the data's state statistics."""
        self.device = torch.device(config.device)
        self.version = 0
        self._spec, self._config, self._seed = spec, config.ppo, config.seed
        self.actors = Actors(spec, config.actor, config.seed)
        self.critic = Critic(state_mean, state_std, config.ppo, config.seed)
        self.scale = ValueScale()
        self.moments = RunningMoments(spec.state_width)
        self.actors.hidden = self.critic.hidden = hidden(config.precision)
        self._standardise(state_mean, state_std)
        for module in (self.actors, self.critic, self.scale, self.moments):
            module.to(self.device)
        self._parameters = flatten([*self.actors.parameters(), *self.critic.parameters()])
        self.optimiser = torch.optim.Adam(
            [self._parameters], lr=config.ppo.learning_rate, eps=1e-5, fused=True
        )

    @property
    def _gradient(self) -> Tensor:
        assert self._parameters.grad is not None
        return self._parameters.grad

    def _standardise(self, mean: Float32[Tensor, " S"], std: Float32[Tensor, " S"]) -> None:
        """Sets the units in which the networks see states."""
        padding = (~self._spec.observation_mask).float().to(mean.device)
        self.actors.standardise(self._spec.observe(mean), self._spec.observe(std) + padding)
        self.critic.state_mean.copy_(mean)
        self.critic.state_std.copy_(std)

    def snapshot(self) -> PolicySnapshot:
        """Returns a copy of the actors at this version, in this machine's memory."""
        state = self.actors.state_dict()
        parameters = {name: value.to("cpu", copy=True) for name, value in state.items()}
        return PolicySnapshot(version=self.version, parameters=parameters)

    def update(self, trajectories: Sequence[Trajectory]) -> Metrics:
        """Improves the policy on one round's segments; the version goes up by one."""
        config = self._config
        batch = prepare(trajectories, self._spec, self.actors, self.critic, self.scale, config)
        self.scale.update(batch.returns)
        # In the critic's units, which do not change within an update.
        rows = Rows(replace(batch, returns=self.scale.normalise(batch.returns)))
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        random = seeds.generator(self._seed, "minibatches", self.version)
        measured: list[dict[str, Tensor]] = []
        for _ in range(config.epochs):
            order = torch.randperm(len(batch.returns), generator=random).to(self.device)
            shuffled = rows.take(order)
            seen = [self._step(part) for part in shuffled.parts(config.minibatch)]
            measured.append(self._measure(shuffled, seen))
            if not measured[-1]["approx_kl"].mean() <= config.kl_stop:
                break
        metrics = self._metrics(batch, measured)
        self.version += 1
        if config.standardise == "running":
            self.moments.update(batch.state)
            self._standardise(self.moments.mean.float(), self.moments.std())
        return metrics

    def _learning_rate(self) -> float:
        """Returns this version's learning rate."""
        config = self._config
        done = self.version / config.rounds if config.schedule == "linear" else 0.0
        return config.learning_rate * (1 - 0.9 * min(1.0, done))

    def _step(self, rows: Batch) -> Seen:
        """Takes one optimiser step: backwards from the derivatives of the terms, weighted."""
        config, bounds, mask = self._config, self._spec.action_bounds, self.actors.action_mask
        distribution = self.actors(rows.observed, rows.remembered)
        mean, entropy = distribution.mean, distribution.entropy().mean(0)
        log_prob = distribution.log_prob(rows.action)
        value = self.critic(rows.state)
        with torch.no_grad():
            by = losses.policy_gradient(
                log_prob, rows.log_prob, rows.advantage, config.clip, config.ratio
            )
            slopes = {
                log_prob: by,
                entropy: torch.full_like(entropy, -config.entropy),
                mean: config.mean_bound * losses.mean_bound_gradient(mean, bounds, mask),
                value: config.value_weight * losses.value_gradient(value, rows.returns),
            }
        gradient = self._gradient.zero_()
        torch.autograd.backward(list(slopes), list(slopes.values()))
        norm = limit(gradient, config.grad_norm)
        skipped = (~torch.isfinite(norm)).float()
        # As torch's own gradient scaler has steps skipped: the host need not know.
        self.optimiser.found_inf = skipped  # type: ignore[attr-defined]
        self.optimiser.step()
        return Seen(
            log_prob=log_prob.detach(),
            entropy=entropy.detach(),
            mean=mean.detach(),
            value=value.detach(),
            grad_norm=norm,
            skipped=skipped,
        )

    @torch.no_grad()
    def _measure(self, rows: Batch, seen: Sequence[Seen]) -> dict[str, Tensor]:
        """Returns an epoch's measures, one value per agent where they differ."""
        config, bounds, mask = self._config, self._spec.action_bounds, self.actors.action_mask
        log_prob = torch.cat([step.log_prob for step in seen])
        ratios = agents = losses.ratio(log_prob, rows.log_prob, "agent")
        if config.ratio == "joint":
            ratios = losses.ratio(log_prob, rows.log_prob, "joint")
        mean = torch.cat([step.mean for step in seen])
        return {
            "policy": losses.policy_loss(ratios, rows.advantage, config.clip),
            "entropy": torch.stack([step.entropy for step in seen]).mean(0),
            "approx_kl": losses.approx_kl(agents),
            "clip_fraction": losses.clip_fraction(agents, config.clip),
            "ratio_max": agents.amax(0),
            "mean_bound": losses.mean_bound_loss(mean, bounds, mask),
            "value": losses.value_loss(torch.cat([step.value for step in seen]), rows.returns),
            "grad_norm": torch.stack([step.grad_norm for step in seen]).mean(),
            "skipped_steps": torch.stack([step.skipped for step in seen]).sum(),
        }

    def _metrics(self, batch: Batch, measured: Sequence[Mapping[str, Tensor]]) -> Metrics:
        explained = losses.explained_variance(batch.value, batch.returns)
        return {
            **_means(measured, self._spec.agents),
            "losses/skipped_steps": float(sum(epoch["skipped_steps"] for epoch in measured)),
            "losses/epochs": float(len(measured)),
            "losses/explained_variance": float(explained),
            "losses/return_mean": float(batch.returns.mean()),
            "charts/learning_rate": self._learning_rate(),
        }


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one optimiser step saw of its minibatch, before it changed the networks."""

    log_prob: Float32[Tensor, "M A"]
    entropy: Float32[Tensor, " A"]
    mean: Float32[Tensor, "M A U"]
    value: Float32[Tensor, " M"]
    grad_norm: Float32[Tensor, ""]
    skipped: Float32[Tensor, ""]


def _means(measured: Sequence[Mapping[str, Tensor]], agents: Sequence[str]) -> Metrics:
    """Returns the means over epochs; one value per agent gets the agent's name appended."""
    means = {}
    for name in measured[0]:
        values = torch.stack([epoch[name] for epoch in measured]).mean(0)
        if values.dim() == 0 or len(values) != len(agents):
            means[f"losses/{name}"] = float(values.sum())
        else:
            listed = zip(agents, values.tolist(), strict=True)
            means.update({f"losses/{name}/{agent}": value for agent, value in listed})
    return means
