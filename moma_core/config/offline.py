"""Settings of the algorithms that learn from a log without a model; defaults as published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from moma_core.config.checks import not_negative, positive, require, share


@dataclass(frozen=True, kw_only=True)
class OfflineConfig:
    """What learning values from a log has in common, whatever the method."""

    rounds: int = 100
    """Rounds, each of `updates` optimiser steps."""
    updates: int = 200
    """Optimiser steps per round."""
    minibatch: int = 256
    """Rows of the log per optimiser step."""
    learning_rate: float = 3e-4
    """Learning rate of Adam, for policies and values."""
    discount: float = 0.99
    """Discount per step."""
    target_rate: float = 0.005
    """Share of the way that target networks go towards the others per optimiser step."""
    width: int = 256
    """Hidden width of the values."""
    depth: int = 2
    """Hidden layers of the values."""
    reward_scale: float = 1.0
    """Factor of the log's rewards; published for locomotion: 1000 / (best - worst return)."""
    grad_norm: float = 100.0
    """Limit of the global gradient norm, far above the usual; not finite steps are skipped."""

    def __post_init__(self) -> None:
        require(
            "offline",
            rounds=positive(self.rounds),
            updates=positive(self.updates),
            minibatch=positive(self.minibatch),
            learning_rate=positive(self.learning_rate),
            discount=(self.discount, 0 < self.discount <= 1, "lie in (0, 1]"),
            target_rate=(self.target_rate, 0 < self.target_rate <= 1, "lie in (0, 1]"),
            width=positive(self.width),
            depth=positive(self.depth),
            reward_scale=positive(self.reward_scale),
            grad_norm=positive(self.grad_norm),
        )


@dataclass(frozen=True, kw_only=True)
class IQLConfig:
    """Implicit Q-learning (Kostrikov et al. 2021)."""

    expectile: float = 0.7
    """Expectile of the values of the log's actions that a state's value is."""
    temperature: float = 3.0
    """Weight of the advantage in the exponent of an action's weight."""
    weight_limit: float = 100.0
    """Largest weight of an action."""

    def __post_init__(self) -> None:
        require(
            "iql",
            expectile=(self.expectile, 0 < self.expectile < 1, "lie in (0, 1)"),
            temperature=positive(self.temperature),
            weight_limit=positive(self.weight_limit),
        )


@dataclass(frozen=True, kw_only=True)
class TD3Config:
    """What methods with deterministic policies have in common (Fujimoto et al. 2018)."""

    delay: int = 2
    """Updates of the values per update of the policies."""
    noise: float = 0.2
    """Deviation of the noise on target actions, in half widths of the action's interval."""
    noise_limit: float = 0.5
    """Largest size of that noise, in the same unit."""

    def __post_init__(self) -> None:
        require(
            "td3",
            delay=positive(self.delay),
            noise=not_negative(self.noise),
            noise_limit=positive(self.noise_limit),
        )


@dataclass(frozen=True, kw_only=True)
class TD3BCConfig:
    """TD3 held to the log's actions (Fujimoto, Gu 2021)."""

    weight: float = 2.5
    """Weight of the value against the distance from the log's action, in mean absolute values."""
    others: Literal["log", "policy"] = "log"
    """Actions of the other agents where a central value judges one agent's: the log's (MADDPG)."""

    def __post_init__(self) -> None:
        require("td3_bc", weight=positive(self.weight))


@dataclass(frozen=True, kw_only=True)
class CQLConfig:
    """Conservative Q-learning (Kumar et al. 2020); with it OMAR, which begins there."""

    weight: float = 1.0
    """Weight of the values of other actions above those of the log's."""
    temperature: float = 1.0
    """Temperature of the maximum over other actions."""
    samples: int = 10
    """Continuous actions of each of three kinds: uniform, around the policy's and its next one."""
    noise: float = 0.2
    """Deviation of the samples around the policy's, in half widths of the action's interval."""

    def __post_init__(self) -> None:
        require(
            "cql",
            weight=not_negative(self.weight),
            temperature=positive(self.temperature),
            samples=positive(self.samples),
            noise=not_negative(self.noise),
        )


@dataclass(frozen=True, kw_only=True)
class OMARConfig:
    """Conservative Q-learning with a search for better actions (Pan et al. 2022)."""

    weight: float = 0.9
    """Share of the distance from the best action found in the policies' loss."""
    iterations: int = 2
    """Rounds of the search."""
    samples: int = 20
    """Actions that a round of the search tries."""
    elites: int = 5
    """Best actions of a round, around which the next one tries."""
    spread: float = 2.0
    """Deviation of the first round's actions, in half widths of the action's interval."""

    def __post_init__(self) -> None:
        require(
            "omar",
            weight=share(self.weight),
            iterations=positive(self.iterations),
            samples=positive(self.samples),
            elites=(self.elites, 1 < self.elites <= self.samples, "lie in [2, omar.samples]"),
            spread=positive(self.spread),
        )
