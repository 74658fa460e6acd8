"""Decentralised actors, a centralised critic, their optimiser: segments in, metrics out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float32
from torch import Tensor

from learner import losses
from learner.batch import Batch, Rows, prepare
from learner.critic import Critic, RunningMoments, ValueScale
from learner.flat import flatten, limit
from moma import seeds
from moma.config import Config
from moma.dense import hidden
from moma.policy import Actors
from moma.types import Metrics, PolicySnapshot, TaskSpec, Trajectory


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
        tally = Tally()
        epochs = 0
        for epoch in range(config.epochs):
            order = torch.randperm(len(batch.returns), generator=random).to(self.device)
            kl = torch.zeros((), device=self.device)
            parts = order.split(config.minibatch)
            for index in parts:
                measured = self._step(rows.take(index))
                kl = kl + measured["approx_kl"].mean()
                tally.add(measured)
            epochs = epoch + 1
            if not kl / len(parts) <= config.kl_stop:
                break
        metrics = self._metrics(batch, tally, epochs)
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

    def _step(self, rows: Batch) -> dict[str, Tensor]:
        """Takes one optimiser step; returns what was measured, per agent where it differs."""
        config, mask = self._config, self.actors.action_mask
        distribution = self.actors(rows.observed, rows.remembered)
        log_prob = distribution.log_prob(rows.action)
        ratios = losses.ratio(log_prob, rows.log_prob, config.ratio)
        policy_loss = losses.policy_loss(ratios, rows.advantage, config.clip)
        entropy = distribution.entropy().mean(0)
        bound = losses.mean_bound_loss(distribution.mean, self._spec.action_bounds, mask)
        value = losses.value_loss(self.critic(rows.state), rows.returns)
        loss = (
            policy_loss.sum()
            - config.entropy * entropy.sum()
            + config.mean_bound * bound
            + config.value_weight * value
        )
        gradient = self._gradient.zero_()
        loss.backward()
        norm = limit(gradient, config.grad_norm)
        finite = torch.isfinite(norm)
        # As torch's own gradient scaler has steps skipped: the host need not know.
        self.optimiser.found_inf = (~finite).float()  # type: ignore[attr-defined]
        self.optimiser.step()
        with torch.no_grad():
            agents = ratios.detach()
            if config.ratio == "joint":
                agents = losses.ratio(log_prob, rows.log_prob, "agent")
            return {
                "policy": policy_loss.detach(),
                "entropy": entropy.detach(),
                "approx_kl": losses.approx_kl(agents),
                "clip_fraction": losses.clip_fraction(agents, config.clip),
                "ratio_max": agents.amax(0),
                "mean_bound": bound.detach(),
                "value": value.detach(),
                "grad_norm": norm,
                "skipped_steps": (~finite).float(),
            }

    def _metrics(self, batch: Batch, tally: Tally, epochs: int) -> Metrics:
        metrics = {
            f"losses/{name}": value for name, value in tally.means(self._spec.agents).items()
        }
        metrics["losses/skipped_steps"] = tally.total("skipped_steps")
        metrics["losses/epochs"] = float(epochs)
        explained = losses.explained_variance(batch.value, batch.returns)
        metrics["losses/explained_variance"] = float(explained)
        metrics["losses/return_mean"] = float(batch.returns.mean())
        metrics["charts/learning_rate"] = self._learning_rate()
        return metrics


class Tally:
    """Means of what every optimiser step measured; nothing is read before the end."""

    def __init__(self) -> None:
        self.count = 0
        self._sums: dict[str, Tensor] = {}

    def add(self, measured: Mapping[str, Tensor]) -> None:
        """Adds one step's values."""
        self.count += 1
        for name, value in measured.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def total(self, name: str) -> float:
        """Returns the sum of one measure."""
        return float(self._sums[name])

    def means(self, agents: Sequence[str]) -> Metrics:
        """Returns the means; one value per agent gets the agent's name appended."""
        means = {}
        for name, total in self._sums.items():
            values = (total / self.count).flatten().tolist()
            if total.dim() == 0 or len(values) != len(agents):
                means[name] = sum(values)
            else:
                means.update({f"{name}/{a}": v for a, v in zip(agents, values, strict=True)})
        return means
