"""Settings of the policies and of their update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from moma_core.config.checks import not_negative, positive, require, share


@dataclass(frozen=True, kw_only=True)
class ActorConfig:
    """The decentralised policies: one network per agent."""

    width: int = 128
    """Hidden width."""
    depth: int = 2
    """Hidden layers."""
    activation: Literal["tanh", "relu"] = "relu"
    """Activation of the hidden layers."""
    memory: Literal["frames", "attention", "gru", "none"] = "frames"
    """Summary of the last frames: joined, self-attention (reference), a GRU, or none."""
    frames: int = 10
    """Own (observation, action) frames that an agent remembers."""
    memory_width: int = 128
    """Width of the attention memory's or GRU's summary."""
    state_dependent_std: bool = False
    """Standard deviation by the network (reference), or one free parameter per dimension."""
    log_std: float = -0.5
    """Initial log standard deviation."""
    log_std_min: float = -6.0
    """Lower bound of the log standard deviation."""
    log_std_max: float = 0.0
    """Upper bound of the log standard deviation."""

    def __post_init__(self) -> None:
        bounded = self.log_std_min <= self.log_std <= self.log_std_max
        require(
            "actor",
            width=positive(self.width),
            depth=positive(self.depth),
            frames=not_negative(self.frames),
            memory_width=positive(self.memory_width),
            log_std=(self.log_std, bounded, f"lie in [{self.log_std_min}, {self.log_std_max}]"),
        )

    @property
    def history(self) -> int:
        """H: frames kept, 0 without a memory."""
        return 0 if self.memory == "none" else self.frames


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """The update."""

    rounds: int = 120
    """Rounds at most, each one batch of segments and one update."""
    patience: int = 0
    """Rounds without a rise of the imagined return before training stops; 0: no such stop."""
    begin: Literal["clone", "scratch"] = "clone"
    """First policies: clones of the log's agents, or random ones (reference)."""
    near: float = 0.2
    """Weight of the KL from the clones to the policies, in deviations of the advantage per nat."""
    ratio: Literal["agent", "joint"] = "agent"
    """Probability ratio that is clipped: each agent's, or the team's product (reference)."""
    clip: float = 0.2
    """Half-width of the ratio's clip interval."""
    discount: float = 0.97
    """Discount per step."""
    gae_lambda: float = 0.95
    """Lambda of the generalised advantage estimate."""
    epochs: int = 5
    """Passes over a round's transitions."""
    minibatch: int = 2560
    """Transitions per optimiser step."""
    learning_rate: float = 1e-3
    """Learning rate of Adam, for actors and critic."""
    schedule: Literal["constant", "linear"] = "constant"
    """Schedule of the learning rate over `rounds`: constant, or linearly down to a tenth."""
    standardise: Literal["data", "running"] = "data"
    """Moments that observations are standardised by: the dataset's, or those of all rounds."""
    entropy: float = 1e-3
    """Weight of the entropy bonus."""
    mean_bound: float = 0.01
    """Weight of the penalty on action means outside of the bounds."""
    limit: Literal["ends", "bootstraps"] = "ends"
    """Value after an episode's limit: none, the critic seeing the age, or as before (reference)."""
    unsure: Literal["floor", "bootstraps"] = "floor"
    """Value where a rollout ends unsure: the least the log ever earned, or the critic's."""
    value_weight: float = 0.5
    """Weight of the critic's loss."""
    value_width: int = 128
    """Hidden width of the critic."""
    value_depth: int = 2
    """Hidden layers of the critic."""
    value_activation: Literal["tanh", "relu"] = "tanh"
    """Activation of the critic's hidden layers; relu costs a quarter less of an update."""
    kl_stop: float = 0.05
    """Limit of the approximate KL; a round's epochs stop where it is passed."""
    grad_norm: float = 1.0
    """Limit of the global gradient norm; a step whose norm is not finite is skipped."""

    def __post_init__(self) -> None:
        discount = (self.discount, 0 < self.discount <= 1, "lie in (0, 1]")
        require(
            "ppo",
            rounds=positive(self.rounds),
            patience=not_negative(self.patience),
            clip=(self.clip, 0 < self.clip < 1, "lie in (0, 1)"),
            discount=discount,
            gae_lambda=share(self.gae_lambda),
            epochs=positive(self.epochs),
            minibatch=positive(self.minibatch),
            learning_rate=positive(self.learning_rate),
            entropy=not_negative(self.entropy),
            near=not_negative(self.near),
            mean_bound=not_negative(self.mean_bound),
            value_weight=positive(self.value_weight),
            value_width=positive(self.value_width),
            value_depth=positive(self.value_depth),
            kl_stop=positive(self.kl_stop),
            grad_norm=positive(self.grad_norm),
        )


@dataclass(frozen=True, kw_only=True)
class BCConfig:
    """Behaviour cloning."""

    rounds: int = 100
    """Rounds at most, each ending with a look at the held-out episodes."""
    updates: int = 100
    """Optimiser steps per round."""
    minibatch: int = 512
    """Rows of the log per optimiser step."""
    learning_rate: float = 2e-3
    """Learning rate of Adam."""
    holdout: float = 0.1
    """Share of the episodes that is not trained on."""
    patience: int = 3
    """Rounds without improvement on held-out episodes before cloning stops."""
    grad_norm: float = 1.0
    """Limit of the global gradient norm; a step whose norm is not finite is skipped."""

    def __post_init__(self) -> None:
        require(
            "bc",
            rounds=positive(self.rounds),
            updates=positive(self.updates),
            minibatch=positive(self.minibatch),
            learning_rate=positive(self.learning_rate),
            holdout=(self.holdout, 0 < self.holdout < 1, "lie in (0, 1)"),
            patience=positive(self.patience),
            grad_norm=positive(self.grad_norm),
        )
