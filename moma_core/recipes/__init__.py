"""Named, complete configs. A recipe is a function that returns a whole `Config`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace

from moma_core.config import (
    ActorConfig,
    Config,
    DataConfig,
    EvalConfig,
    ModelConfig,
    OfflineConfig,
    PessimismConfig,
    PPOConfig,
    RolloutConfig,
)

ANY_LOG = "data"
"""Name of the recipe whose settings come from the log (`--data`)."""
_REFERENCE_HORIZON = {"icg": 1, "polygame-plus": 1, "polygame-minus": 1}
"""Steps of a rollout with the published choices where they are not 10."""


def get(name: str, mode: str = "default") -> Config:
    """Returns the recipe called `name`.

    Raises:
        ValueError: there is none; the text holds the nearest names.
    """
    if name not in _RECIPES:
        near = difflib.get_close_matches(name, NAMES, n=3, cutoff=0.3) or NAMES
        raise ValueError(f"there is no recipe {name!r}; perhaps you meant: {', '.join(near)}")
    if mode not in ("default", "reference"):
        raise ValueError(f"mode must be default or reference, got {mode!r}")
    config = _RECIPES[name](name)
    return reference(config) if mode == "reference" else config


def reacher(name: str) -> Config:
    """Two-agent Reacher from a mixture of two scripted conventions.

    Clones are worth 0.7 of an expert here: the team is let go sooner.
    """
    return Config(
        recipe=name,
        task=name,
        ppo=PPOConfig(near=0.1),
        offline=OfflineConfig(rounds=50, width=128),  # as wide as the team's critic
    )


def icg(name: str) -> Config:
    """The iterated coordination game: seconds on one core."""
    return replace(
        _game(name),
        data=DataConfig(noise=0.1),
        rollout=RolloutConfig(rows=256, horizon=10, episode_starts=0.5),
    )


def polygame(name: str) -> Config:
    """The polynomial game of one step: seconds on one core.

    Its best actions are the bounds; the weight on the means keeps them from running far past them.
    """
    game = _game(name)
    return replace(
        game,
        rollout=RolloutConfig(rows=2560, horizon=1),
        ppo=replace(game.ppo, mean_bound=1.0),
    )


def _game(name: str) -> Config:
    """What the small games share."""
    return Config(
        recipe=name,
        task=name,
        model=ModelConfig(width=64, depth=2, updates=1000),
        actor=ActorConfig(width=32, memory="none"),
        ppo=PPOConfig(rounds=120, patience=12, minibatch=512, value_width=32),
        offline=OfflineConfig(rounds=20, updates=100, width=32),  # as wide as the team's critic
    )


def tiny(name: str) -> Config:
    """Seconds instead of minutes, for tests: it goes through everything and learns nothing."""
    return Config(
        recipe=name,
        task="reacher-leader",
        checkpoint_every=1,
        data=DataConfig(episodes=20),
        model=ModelConfig(members=3, elites=2, width=32, depth=2, updates=60, evaluate_every=30),
        rollout=RolloutConfig(rows=512, horizon=6, episode_starts=0.5),
        actor=ActorConfig(width=16, frames=3),
        ppo=PPOConfig(rounds=4, epochs=2, minibatch=1024, value_width=16),
        offline=OfflineConfig(rounds=4, updates=10, minibatch=64, width=16),
        eval=EvalConfig(every=2, episodes=2, final_episodes=4, value_updates=100, film=False),
    )


def expert(name: str) -> Config:
    """Trains a team online in the task's simulator: no dataset, no penalty, whole episodes."""
    return Config(
        recipe=name,
        task=_EXPERTS[name],
        dynamics="simulator",
        keep_every=30,
        rollout=RolloutConfig(starts="task", carry=True, rows=256, horizon=50, round_s=600.0),
        pessimism=PessimismConfig(disagreement=0.0),
        actor=ActorConfig(memory="none", width=128),
        ppo=PPOConfig(
            rounds=300 if name.startswith("reacher") else 400,
            discount=0.99,
            minibatch=3200,
            kl_stop=0.03,
            learning_rate=5e-4,
            schedule="linear",
            standardise="running",
            value_width=256,
            value_activation="relu",
            entropy=0.0,
            limit="bootstraps",
            begin="scratch",
            unsure="bootstraps",
            near=0.0,
        ),
        eval=EvalConfig(every=50, episodes=10),
    )


_EXPERTS = {
    "reacher-expert": "reacher-full",
    "reacher-expert-c": "reacher-c",
    "reacher-expert-d": "reacher-d",
    "ant-expert": "ant-full",
    "halfcheetah-expert": "halfcheetah-2x3-full",
    "hopper-expert": "hopper-3x1-full",
    "walker2d-expert": "walker2d-2x3-full",
}
"""Recipe to the task that the experts see in full."""


def reference(config: Config) -> Config:
    """Returns the recipe with the published choices (arXiv 2305.17198 and its code's facts)."""
    model = replace(
        config.model,
        works_on="observations",
        network="separate",
        activation="relu",
        norm=False,
        width=1024,
        depth=4,
        units="raw",
        bounds="clamped",
        nll_beta=0.0,
        draw="mean",
        clock="never",
        holdout_by="transition",
        stopping="last",
        ranking="sampled_error",
        updates=10_001,
        learning_rate=3e-5,
        schedule="constant",
        weight_decay=0.0,
        grad_norm=1.0,
    )
    actor = ActorConfig(memory="attention", width=256, state_dependent_std=True)
    return replace(
        config,
        mode="reference",
        model=model,
        rollout=RolloutConfig(
            rows=202,
            horizon=_REFERENCE_HORIZON.get(config.task, 10),
            episode_starts=0.0,
        ),
        pessimism=PessimismConfig(
            disagreement=0.1, reward_disagreement=0.05, clamp=2.0, cut=2.0, edge="clamp"
        ),
        actor=actor,
        ppo=_reference_ppo(config.ppo),
    )


def _reference_ppo(ppo: PPOConfig) -> PPOConfig:
    """The published update."""
    return replace(
        ppo,
        ratio="joint",
        discount=0.99,
        gae_lambda=0.98,
        minibatch=64,
        learning_rate=5e-5,
        mean_bound=1.0,
        rounds=100_001,
        limit="bootstraps",
        begin="scratch",
        unsure="bootstraps",
        near=0.0,
    )


_RECIPES: dict[str, Callable[[str], Config]] = {
    "reacher-leader": reacher,
    "reacher-independent": reacher,
    "reacher-full": reacher,
    "reacher-tiny": tiny,
    # Any dataset: `from_log` has what it asks for; this is what holds before the log is known.
    ANY_LOG: lambda name: Config(recipe=name, task="", rollout=RolloutConfig(episode_starts=0.5)),
    **dict.fromkeys(_EXPERTS, expert),
    "icg": icg,
    "polygame-plus": polygame,
    "polygame-minus": polygame,
}
NAMES = tuple(_RECIPES)
