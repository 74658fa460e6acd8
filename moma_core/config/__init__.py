"""Every setting once: frozen dataclasses, checked where they are made. They import nothing of ours.

The text under a field is its help on the command line. Where a field departs from the published
algorithm (arXiv 2305.17198), its reference value is what `moma_core.recipes.reference` sets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from moma_core.config.checks import not_negative, positive, require
from moma_core.config.learning import ActorConfig, PPOConfig
from moma_core.config.model import DataConfig, ModelConfig
from moma_core.config.rollout import PessimismConfig, RolloutConfig

__all__ = [
    "ActorConfig",
    "Config",
    "DataConfig",
    "EvalConfig",
    "ModelConfig",
    "PPOConfig",
    "PessimismConfig",
    "RolloutConfig",
]


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Looks at the true system: they report, they choose nothing."""

    every: int = 20
    """Rounds between two looks while training; 0: none."""
    episodes: int = 20
    """Episodes of such a look."""
    final_episodes: int = 100
    """Episodes of the evaluation at the end."""
    env: str = ""
    """Instead of the task's system: a PettingZoo ParallelEnv, package.module:factory (`--env`)."""

    def __post_init__(self) -> None:
        require(
            "eval",
            every=not_negative(self.every),
            episodes=positive(self.episodes),
            final_episodes=(self.final_episodes, self.final_episodes >= 2, "be 2 or more"),
        )


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run."""

    recipe: str
    """The name that the recipe goes by."""
    task: str
    """The task's name; see `moma_core.tasks`. Empty: the data says who the team is."""
    mode: Literal["default", "reference"] = "default"
    """Our choices, or the published ones."""
    dynamics: Literal["learned", "simulator"] = "learned"
    """What the team is imagined in: a model of the log, or the true simulator (`--model`)."""
    seed: int = 0
    """Of every draw in the run."""
    workers: int = 2
    """Rollout worker processes."""
    checkpoint_every: int = 10
    """Rounds between two checkpoints; the last round is always kept."""
    keep_every: int = 0
    """Rounds between two policies that are kept for good, to make data with; 0: none."""
    model_servers: int = 0
    """Processes that serve the model and share the cores; 0: one per worker, while cores last."""
    threads: int = 0
    """Torch threads of the learner, batches that the model servers run at once; 0: one per core."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the model is fitted and served, and the policies are updated."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of hidden layers, in the served model and in updates; auto: bf16 where it is native."""
    deterministic: bool = False
    """Serve each model request alone, so that a run's bits do not depend on its neighbours."""
    data: DataConfig = field(default_factory=DataConfig)
    """Which log to learn from."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The world model."""
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    """How the team is imagined."""
    pessimism: PessimismConfig = field(default_factory=PessimismConfig)
    """What to make of the model's doubt."""
    actor: ActorConfig = field(default_factory=ActorConfig)
    """The decentralised policies."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """The update."""
    eval: EvalConfig = field(default_factory=EvalConfig)
    """Looks at the true system."""

    def __post_init__(self) -> None:
        require(
            "config",
            seed=not_negative(self.seed),
            workers=positive(self.workers),
            model_servers=not_negative(self.model_servers),
            checkpoint_every=positive(self.checkpoint_every),
            keep_every=not_negative(self.keep_every),
            online=(
                self.dynamics,
                self.dynamics == "simulator" or self.rollout.starts == "data",
                "be simulator where rollouts begin at the task's true starts",
            ),
            threads=not_negative(self.threads),
        )
