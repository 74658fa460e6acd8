"""Settings of the data and of the world model that is fitted to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from moma_core.config.checks import not_negative, positive, require, share


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which log to learn from."""

    path: str = ""
    """Dataset directory (`--data`); empty: the task's own data, made in the run directory."""
    variant: str = ""
    """Variant of the task's data to make (`moma tasks` lists them); empty: the first."""
    episodes: int = 1000
    """Episodes to make."""
    noise: float = 0.2
    """Noise of scripted players: deviation of continuous actions, share of discrete ones."""

    def __post_init__(self) -> None:
        require(
            "data",
            episodes=(self.episodes, self.episodes >= 10, "be 10 or more"),
            noise=not_negative(self.noise),
        )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The world model and how it is fitted."""

    members: int = 7
    """Networks trained."""
    elites: int = 5
    """Networks kept, the best on held-out data."""
    works_on: Literal["state", "observations"] = "state"
    """Input: the joint state, each feature once, or all observations side by side (reference)."""
    network: Literal["trunk", "separate"] = "separate"
    """Networks for state, reward and termination: separate (reference too), or one trunk."""
    activation: Literal["silu", "relu"] = "silu"
    """Activation of the hidden layers; reference relu."""
    norm: bool = False
    """LayerNorm before every activation."""
    width: int = 256
    """Hidden width."""
    depth: int = 3
    """Hidden layers (a separate termination network has 2)."""
    units: Literal["standardised", "raw"] = "standardised"
    """Units of predictions: standardised change of state and reward, or raw (reference)."""
    bounds: Literal["soft", "clamped"] = "soft"
    """Bounds of the log-variance: learned and soft, or log-std clamped to [-6, 2] (reference)."""
    nll_beta: float = 0.5
    """Weight of each likelihood term by its variance to this power; reference 0."""
    draw: Literal["sample", "mean"] = "sample"
    """Next states: samples that scatter as the log does, or the drawn member's mean (reference)."""
    clock: Literal["auto", "always", "never"] = "auto"
    """Age within the episode as an input: if held-out errors depend on it, or not (reference)."""
    holdout: float = 0.1
    """Share of the data that no member trains on."""
    holdout_by: Literal["episode", "transition"] = "episode"
    """Unit that is held out: whole episodes, or single transitions (reference)."""
    stopping: Literal["best", "last"] = "best"
    """Weights kept: each member's best, until they stop improving, or the last (reference)."""
    ranking: Literal["nll", "sampled_error"] = "nll"
    """Rank of elites by held-out likelihood, or by sampled predictions' error (reference)."""
    updates: int = 2500
    """Optimiser steps at most; the learning rate decays over them where it decays."""
    evaluate_every: int = 100
    """Optimiser steps between two evaluations on the held-out data."""
    patience: int = 4
    """Evaluations without an improvement of 0.01 before fitting stops."""
    batch: int = 256
    """Rows per member and optimiser step; every member draws its own."""
    learning_rate: float = 3e-3
    """Learning rate of AdamW."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Schedule of the learning rate over `updates`."""
    weight_decay: float = 1e-4
    """Weight decay of AdamW."""
    grad_norm: float = 10.0
    """Limit of each member's gradient norm."""

    def __post_init__(self) -> None:
        require(
            "model",
            members=(self.members, self.members >= 2, "be 2 or more"),
            elites=(self.elites, 2 <= self.elites <= self.members, f"lie in [2, {self.members}]"),
            width=positive(self.width),
            depth=positive(self.depth),
            nll_beta=share(self.nll_beta),
            holdout=(self.holdout, 0 < self.holdout < 1, "lie in (0, 1)"),
            updates=positive(self.updates),
            evaluate_every=positive(self.evaluate_every),
            patience=positive(self.patience),
            batch=positive(self.batch),
            learning_rate=positive(self.learning_rate),
            weight_decay=not_negative(self.weight_decay),
            grad_norm=positive(self.grad_norm),
        )
