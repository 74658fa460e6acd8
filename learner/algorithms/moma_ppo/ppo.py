"""Clipped updates of decentralised actors and a centralised critic: segments in, metrics out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32
from torch import Tensor

from learner.algorithms import base
from learner.algorithms.base import IMAGINED, Updated
from learner.algorithms.group import ALONE, Group
from learner.algorithms.moma_ppo import losses
from learner.algorithms.moma_ppo.batch import Batch, prepare
from learner.algorithms.moma_ppo.critic import Critic, RunningMoments, ValueScale
from learner.algorithms.moma_ppo.plateau import Plateau, returns
from learner.algorithms.optimiser import FlatAdam
from moma_core import seeds
from moma_core.config import PPOConfig
from moma_core.nets.policy import Actors
from moma_core.types import Metrics, PolicySnapshot, Trajectory


@dataclass(frozen=True, kw_only=True)
class Support:
    """What keeps the team where the log can be believed."""

    floor: Float32[Tensor, " L"] | None = None
    """Worth of a state of that age in which the model is not to be believed; None: the critic's."""
    clone: Actors | None = None
    """Policies to stay near; None: none."""


class MomaPPO:
    """PPO on what the team imagines (arXiv 2305.17198), behind the seam `Algorithm`."""

    imagines = True

    def __init__(
        self,
        actors: Actors,
        critic: Critic,
        config: PPOConfig,
        seed: int,
        device: torch.device | None = None,
        support: Support | None = None,
        group: Group = ALONE,
    ) -> None:
        """Takes the networks over.

        Args:
            actors: the policies.
            critic: values of joint states; the units in which it sees them become the actors'.
            config: the update's settings.
            seed: the run's.
            device: where updates are computed; None: the CPU.
            support: what keeps the team where the log is; None: nothing.
            group: learners that share the update; each prepares all of a round.
        """
        self.version, self.rounds, spec = 0, config.rounds, actors.spec
        self.actors, self.critic = actors, critic
        self.scale, self.moments = ValueScale(), RunningMoments(spec.state_width)
        self.plateau = Plateau()
        self._spec, self._config, self._seed = spec, config, seed
        self._support, self._group = support or Support(), group
        self._device = device or torch.device("cpu")
        self._standardise(critic.state_mean.clone(), critic.state_std.clone())
        for module in self._modules().values():
            module.to(self._device)
        self.plateau.cpu()
        networks = [*actors.parameters(), *critic.parameters()]
        self._optimiser = FlatAdam(networks, config.learning_rate, group)

    @property
    def done(self) -> bool:
        """True after the last round, or once the imagined return has not risen for long enough."""
        return self.version >= self.rounds or self.plateau.over(self._config.patience)

    @property
    def stopped(self) -> str:
        """Says that the imagined return has not risen for long enough, or still did at the end."""
        last = self.version >= self.rounds
        return self.plateau.said(self._config.patience, self.rounds if last else None)

    def update(self, segments: Sequence[Trajectory]) -> Updated:
        """Improves the policies on one round's segments."""
        config, path = self._config, Trajectory.joined(segments)
        batch = prepare(
            path, self._spec, self.actors, self.critic, self.scale, config, self._support.floor
        )
        self.scale.update(batch.returns)
        # In the critic's units, which do not change within an update.
        rows = replace(batch, returns=self.scale.normalise(batch.returns))
        self._optimiser.set_learning_rate(self._learning_rate())
        random = seeds.generator(self._seed, "minibatches", self.version)
        measured: list[dict[str, Tensor]] = []
        for _ in range(config.epochs):
            order = torch.randperm(len(batch.returns), generator=random).to(self._device)
            shuffled = rows.take(order)
            parts = shuffled.parts(config.minibatch, self._group)
            seen = [self._step(part, count) for part, count in parts]
            measured.append(self._measure(shuffled, seen))
            if not self._group.agreed(measured[-1]["approx_kl"].mean()) <= config.kl_stop:
                break
        self.plateau.add(returns(path))
        metrics = self._metrics(batch, measured)
        self.version += 1
        if config.standardise == "running":
            self.moments.update(batch.state)
            self._standardise(self.moments.mean.float(), self.moments.std())
        return Updated(metrics=metrics, transitions=len(batch.returns))

    def snapshot(self) -> PolicySnapshot:
        """Returns a copy of the actors at this version."""
        return base.snapshot(self.actors, self.version)

    def state(self) -> dict[str, Tensor]:
        """Returns networks, running statistics and the optimiser's moments."""
        return base.joined({**self._modules(), "optimiser": self._optimiser.state()})

    def load(self, state: Mapping[str, Tensor], version: int) -> None:
        """Takes back what `state` gave."""
        for name, module in self._modules().items():
            module.load_state_dict(base.part(state, name))
        self._optimiser.load(base.part(state, "optimiser"))
        self.version = version

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {
            "actors": self.actors,
            "critic": self.critic,
            "scale": self.scale,
            "moments": self.moments,
            "plateau": self.plateau,
        }

    def _standardise(self, mean: Float32[Tensor, " S"], std: Float32[Tensor, " S"]) -> None:
        """Sets the units in which the networks see states."""
        self.actors.standardise_states(mean, std)
        self.critic.state_mean.copy_(mean)
        self.critic.state_std.copy_(std)

    def _learning_rate(self) -> float:
        """Returns this version's learning rate."""
        config = self._config
        done = self.version / config.rounds if config.schedule == "linear" else 0.0
        return config.learning_rate * (1 - 0.9 * min(1.0, done))

    def _step(self, rows: Batch, count: int) -> _Seen:
        """Takes one optimiser step down the weighted sum of the losses.

        Args:
            rows: this learner's share of a minibatch.
            count: rows of the whole one.
        """
        config, bounds, mask = self._config, self._spec.action_bounds, self.actors.action_mask
        distribution = self.actors(rows.observed, rows.remembered)
        log_prob, entropy = distribution.log_prob(rows.action), distribution.entropy().mean(0)
        value = self.critic(rows.state, rows.age)
        ratios = losses.ratio(log_prob, rows.log_prob, config.ratio)
        apart = torch.zeros(len(self._spec.agents), device=self._device)
        if self._support.clone is not None:
            with torch.no_grad():
                logged = self._support.clone(rows.observed, rows.remembered)
            apart = distribution.kl(logged).mean(0)
        loss = (
            losses.policy_loss(ratios, rows.advantage, config.clip).sum()
            - config.entropy * entropy.sum()
            + config.near * apart.sum()
            + config.mean_bound * losses.mean_bound_loss(distribution.mean, bounds, mask)
            + config.value_weight * losses.value_loss(value, rows.returns)
        )
        self._optimiser.zero_gradient()
        loss.backward()
        norm, skipped = self._optimiser.step(loss, config.grad_norm, self._group.weight(count))
        return _Seen(
            count=count,
            log_prob=log_prob.detach(),
            entropy=entropy.detach(),
            apart=apart.detach(),
            mean=distribution.mean.detach(),
            value=value.detach(),
            grad_norm=norm,
            skipped=skipped,
        )

    @torch.no_grad()
    def _measure(self, rows: Batch, seen: Sequence[_Seen]) -> dict[str, Tensor]:
        """Returns an epoch's measures, one value per agent where they differ."""
        config, bounds, mask = self._config, self._spec.action_bounds, self.actors.action_mask
        group, counts = self._group, [step.count for step in seen]
        log_prob = group.rows([step.log_prob for step in seen], counts)
        ratios = agents = losses.ratio(log_prob, rows.log_prob, "agent")
        if config.ratio == "joint":
            ratios = losses.ratio(log_prob, rows.log_prob, "joint")
        mean = group.rows([step.mean for step in seen], counts)
        value = group.rows([step.value for step in seen], counts)
        return {
            "policy": losses.policy_loss(ratios, rows.advantage, config.clip),
            "entropy": group.means([step.entropy for step in seen], counts).mean(0),
            "clone_kl": group.means([step.apart for step in seen], counts).mean(0),
            "approx_kl": losses.approx_kl(agents),
            "clip_fraction": losses.clip_fraction(agents, config.clip),
            "ratio_max": agents.amax(0),
            "mean_bound": losses.mean_bound_loss(mean, bounds, mask),
            "value": losses.value_loss(value, rows.returns),
            "grad_norm": torch.stack([step.grad_norm for step in seen]).mean(),
            "skipped_steps": torch.stack([step.skipped for step in seen]).sum(),
        }

    def _metrics(self, batch: Batch, measured: Sequence[Mapping[str, Tensor]]) -> Metrics:
        explained = losses.explained_variance(batch.value, batch.returns)
        imagined = self.plateau.mean
        return {
            **_means(measured, self._spec.agents),
            **({} if imagined is None else {IMAGINED: imagined}),
            "losses/skipped_steps": float(sum(epoch["skipped_steps"] for epoch in measured)),
            "losses/epochs": float(len(measured)),
            "losses/explained_variance": float(explained),
            "losses/return_mean": float(batch.returns.mean()),
            "charts/learning_rate": self._learning_rate(),
        }


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What one optimiser step saw of its share, before it changed the networks.

    Measures are computed once an epoch from these: a dozen operations on a minibatch would be 3 %
    of a step.
    """

    count: int
    """Rows of the whole minibatch."""
    log_prob: Float32[Tensor, "M A"]
    entropy: Float32[Tensor, " A"]
    apart: Float32[Tensor, " A"]
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
