"""Every setting once: frozen dataclasses, checked where they are made. They import nothing of ours.

The text under a field is its help on the command line. Where a field departs from the published
algorithm (arXiv 2305.17198), its reference value is what `moma_core.recipes.reference` sets.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Literal

from moma_core.config.checks import not_negative, positive, require, share
from moma_core.config.learning import ActorConfig, BCConfig, PPOConfig
from moma_core.config.model import DataConfig, ModelConfig
from moma_core.config.offline import (
    CQLConfig,
    IQLConfig,
    OfflineConfig,
    OMARConfig,
    TD3BCConfig,
    TD3Config,
)
from moma_core.config.rollout import PessimismConfig, RolloutConfig

__all__ = [
    "ActorConfig",
    "BCConfig",
    "CQLConfig",
    "Config",
    "DataConfig",
    "EvalConfig",
    "IQLConfig",
    "ModelConfig",
    "OMARConfig",
    "OfflineConfig",
    "PPOConfig",
    "PessimismConfig",
    "RolloutConfig",
    "TD3BCConfig",
    "TD3Config",
]

AlgorithmName = Literal[
    "moma_ppo", "bc", "iql", "ma_iql", "itd3_bc", "matd3_bc", "cql", "omar"
]  # fmt: skip
"""What may learn: `learner/algorithms/`."""


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Evaluation in the environment: it reports, it chooses nothing."""

    every: int = 20
    """Rounds between two evaluations while training; 0: none."""
    episodes: int = 20
    """Episodes of an evaluation while training."""
    final_episodes: int = 100
    """Episodes of the evaluation at the end."""
    value_updates: int = 2000
    """Optimiser steps, at most, of each policy's fitted Q evaluation on the log."""
    env: str = ""
    """Environment in place of the task's (`--env`): package.module:factory of a ParallelEnv."""
    film: bool = True
    """Video of the team's first episode at the end, where the environment draws itself."""

    def __post_init__(self) -> None:
        require(
            "eval",
            every=not_negative(self.every),
            episodes=positive(self.episodes),
            final_episodes=(self.final_episodes, self.final_episodes >= 2, "be 2 or more"),
            value_updates=positive(self.value_updates),
        )


_TOGETHER = 64
"""Few enough for a round of 512 to be cut for eight, enough that a request costs little a row."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run."""

    recipe: str
    """Name of the recipe."""
    task: str
    """Name of the task (`moma tasks` lists them); empty: the dataset says who the team is."""
    mode: Literal["default", "reference"] = "default"
    """Choices of this project, or the published ones."""
    dynamics: Literal["learned", "simulator"] = "learned"
    """Dynamics to imagine the team in (`--model`): a model of the dataset, or the simulator."""
    algorithm: AlgorithmName = "moma_ppo"
    """Learner: MOMA-PPO in the model, or one of the others, which learn from the log alone."""
    seed: int = 0
    """Seed of every draw in the run."""
    workers: int = 2
    """Rollout worker processes."""
    learners: int = 1
    """Learner processes of one machine, which share every update; the first one has the run."""
    verify_share: float = 0.0
    """Share of the workers' segments that the learner makes again and compares; for workers that
    are not one's own."""
    checkpoint_every: int = 10
    """Rounds between two checkpoints; the last round is always kept."""
    keep_every: int = 0
    """Rounds between two policies that are kept for good, to make data with; 0: none."""
    model_servers: int = 0
    """Processes that serve the model and share the cores; 0: one per worker, while cores last."""
    threads: int = 0
    """Torch threads of the learner, batches that the model servers run at once; 0: one per core."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device on which the model is fitted and served and the policies are updated."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of hidden layers, served and updated; auto: bf16 where it is native."""
    deterministic: bool = False
    """Rollouts always imagined in the same groups, one model request a batch: the same bits however
    a round is cut."""
    data: DataConfig = field(default_factory=DataConfig)
    """Dataset to learn from."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """World model and its fit."""
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    """Imagined rollouts."""
    pessimism: PessimismConfig = field(default_factory=PessimismConfig)
    """Price of the model's uncertainty."""
    actor: ActorConfig = field(default_factory=ActorConfig)
    """Decentralised policies."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """Policy update of MOMA-PPO."""
    bc: BCConfig = field(default_factory=BCConfig)
    """Behaviour cloning."""
    offline: OfflineConfig = field(default_factory=OfflineConfig)
    """Values from the log alone: IQL, TD3+BC, CQL, OMAR."""
    iql: IQLConfig = field(default_factory=IQLConfig)
    """Implicit Q-learning."""
    td3: TD3Config = field(default_factory=TD3Config)
    """Deterministic policies: TD3+BC, CQL, OMAR."""
    td3_bc: TD3BCConfig = field(default_factory=TD3BCConfig)
    """TD3 held to the log's actions."""
    cql: CQLConfig = field(default_factory=CQLConfig)
    """Conservative Q-learning."""
    omar: OMARConfig = field(default_factory=OMARConfig)
    """Conservative Q-learning with a search for better actions."""
    eval: EvalConfig = field(default_factory=EvalConfig)
    """Evaluation in the environment."""

    def __post_init__(self) -> None:
        require(
            "config",
            seed=not_negative(self.seed),
            workers=positive(self.workers),
            learners=positive(self.learners),
            model_servers=not_negative(self.model_servers),
            checkpoint_every=positive(self.checkpoint_every),
            verify_share=share(self.verify_share),
            keep_every=not_negative(self.keep_every),
            online=(
                self.dynamics,
                self.dynamics == "simulator" or self.rollout.starts == "data",
                "be simulator where rollouts begin at the task's true starts",
            ),
            threads=not_negative(self.threads),
            deterministic=(
                self.deterministic,
                not (self.deterministic and self.rollout.lag),
                "be False with a lag: who is how fast decides which policy imagines what",
            ),
            algorithm=(
                self.algorithm,
                self.imagines or self.dynamics == "learned",
                "be moma_ppo in the simulator: any other learns from a log alone",
            ),
        )

    @property
    def works_on(self) -> Literal["state", "observations"]:
        """What stands for the joint state: the model's choice, where one is learned."""
        modelled = self.dynamics == "learned" and self.imagines
        return self.model.works_on if modelled else "state"

    @property
    def together(self) -> int:
        """Rollouts that are imagined at once, always the same ones; 0: as many as come together."""
        return _TOGETHER if self.deterministic else 0

    @property
    def imagines(self) -> bool:
        """True where the algorithm learns from what the team imagines in a model."""
        return self.algorithm == "moma_ppo"


_IMAGINING = (
    "model", "rollout", "pessimism", "ppo", "workers", "model_servers", "deterministic",
    "verify_share",
)  # fmt: skip
_VALUES = ("offline", "iql", "td3", "td3_bc", "cql", "omar")
_USED: dict[AlgorithmName, tuple[str, ...]] = {
    "moma_ppo": (*_IMAGINING, "bc"),  # its clones
    "bc": ("bc",),
    "iql": ("offline", "iql"),
    "ma_iql": ("offline", "iql"),
    "itd3_bc": ("offline", "td3", "td3_bc"),
    "matd3_bc": ("offline", "td3", "td3_bc"),
    "cql": ("offline", "td3", "cql"),
    "omar": ("offline", "td3", "cql", "omar"),
}
ALGORITHMS = tuple(_USED)
UNUSED: dict[str, tuple[str, ...]] = {
    algorithm: tuple(name for name in (*_IMAGINING, "bc", *_VALUES) if name not in used)
    for algorithm, used in _USED.items()
}
"""By algorithm, the settings that mean nothing to it."""


def refuse_unused(asked: Config, base: Config) -> None:
    """Refuses settings that the algorithm would not use.

    Raises:
        ValueError: one of them differs from the recipe's; the text names it.
    """
    for name in UNUSED[asked.algorithm]:
        mine, theirs = getattr(asked, name), getattr(base, name)
        if mine == theirs:
            continue
        parts = [f.name for f in fields(mine)] if is_dataclass(mine) else []
        changed = [f"{name}.{p}" for p in parts if getattr(mine, p) != getattr(theirs, p)]
        flag = (changed or [name])[0]
        raise ValueError(f"--{flag} means nothing to --algorithm {asked.algorithm}; leave it out")
