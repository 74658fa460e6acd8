"""Small things that many tests need: a lopsided task, a log of it, a config, a model, a segment."""

from __future__ import annotations

import json
import math
import socket
from dataclasses import asdict, fields, replace
from functools import partial

import numpy as np
import torch

from learner.algorithms.moma_ppo.critic import Critic
from learner.algorithms.moma_ppo.ppo import MomaPPO
from model_server.world_model.ensemble import Ensemble
from model_server.world_model.model import WorldModel
from moma_core import pessimism, seeds
from moma_core.address import Address
from moma_core.config import (
    ActorConfig,
    Config,
    ModelConfig,
    PessimismConfig,
    PPOConfig,
    RolloutConfig,
)
from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.datasets.dataset import SCHEMA
from moma_core.nets.policy import Actors
from moma_core.types import (
    History,
    ModelCard,
    Prediction,
    Query,
    RunCard,
    StartStates,
    TaskSpec,
    Trajectory,
    layouts,
)
from rollout_workers.rollout import Identity, rollout

# Agents of unequal widths: 3 against 2 observations, 2 against 1 actions, one feature shared.
SPEC = TaskSpec(
    name="lopsided",
    agents=("wide", "narrow"),
    state_names=("a", "b", "c", "d", "goal"),
    observation_index=((0, 2, 4), (1, 4)),
    action_low=((-1.0, -1.0), (-0.5,)),
    action_high=((1.0, 1.0), (2.0,)),
    episode_limit=8,
)
# The same agents with choices in place of numbers: one of three against one of two.
CHOICES = replace(
    SPEC,
    name="choosing",
    action_low=((0.0,) * 3, (0.0,) * 2),
    action_high=((1.0,) * 3, (1.0,) * 2),
    discrete=(True, True),
)
# One of each: the wide agent chooses, the narrow one acts continuously.
MIXED = replace(
    SPEC,
    name="mixed",
    action_low=((0.0,) * 3, (-0.5,)),
    action_high=((1.0,) * 3, (2.0,)),
    discrete=(True, False),
)
QUANTILES = {"0.50": 0.1, "0.90": 0.2, "0.95": 0.3, "0.99": 0.4, "0.999": 0.5, "1.00": 0.6}
DIGEST = "0" * 64
"""Of models that were never fitted."""
PER_ROW = tuple(field.name for field in fields(Prediction) if field.name != "model")
"""A prediction's tensors."""
FRAME = SPEC.frame_width


def make_config(**sections):
    """A whole config of tiny sizes; sections replace those below."""
    small = {
        "model": ModelConfig(
            members=3, elites=2, width=16, depth=2, updates=40, evaluate_every=20, batch=32
        ),
        "rollout": RolloutConfig(rows=6, horizon=4, lease_s=20.0, round_s=120.0),
        "pessimism": PessimismConfig(cut=0.8),
        "actor": ActorConfig(width=8, depth=1, frames=2, memory_width=8),
        "ppo": PPOConfig(rounds=4, epochs=2, minibatch=16, value_width=8, value_depth=1),
    }
    return Config(recipe="unit", task="lopsided", **{**small, **sections})


def step_system(state, action):
    """The lopsided task's true system, in numpy: linear, with a goal that never moves."""
    push = np.stack([action[0, 0], action[1, 0], action[0, 1], action[0, 0] - action[1, 0]])
    after = state.copy()
    after[:4] = 0.8 * state[:4] + 0.3 * push + 0.1 * (state[4] - state[:4])
    return after.astype(np.float32), np.float32(-np.abs(after[:4] - after[4]).mean())


def random_action(random, spec=SPEC):
    """A joint action, uniform within the bounds, zero in the padding."""
    low, high = (bound.numpy() for bound in spec.action_bounds)
    return (low + (high - low) * random.random(low.shape)).astype(np.float32)


def write_dataset(path, episodes=16, *, terminals=False, seed=0):
    """Writes a log of random play, episodes of 1 to 8 steps; terminal where feature a > 0.2."""
    random = np.random.default_rng(seed)
    with EpisodeWriter(SPEC, path, {"maker": "tests"}) as writer:
        for _ in range(episodes):
            states, actions, rewards = [random.normal(0, 0.5, 5).astype(np.float32)], [], []
            length, terminated = int(random.integers(1, SPEC.episode_limit + 1)), False
            while len(rewards) < length and not terminated:
                actions.append(random_action(random))
                after, reward = step_system(states[-1], actions[-1])
                states.append(after)
                rewards.append(reward)
                terminated = terminals and bool(after[0] > 0.2)
            parts = np.stack(states), np.stack(actions), np.array(rewards)
            writer.add(*parts, terminated=terminated)
    return Dataset.load(path)


def model_card(task=SPEC, members=3, elites=(0, 1, 2), *, terminates=False):
    """A card for models that were never fitted."""
    return ModelCard(
        task=task,
        members=members,
        elites=elites,
        disagreement_quantiles=QUANTILES,
        measured={},
        terminates=terminates,
        digest=DIGEST,
    )


def world_model(dataset, config=None, *, elites=3, box=None, terminates=False, seed=1):
    """An unfitted ensemble with the units of a dataset, as a `Dynamics`."""
    config = config or make_config().model
    ensemble = Ensemble(dataset.spec, config, members=elites, terminates=terminates, seed=seed)
    ensemble.units.fit([dataset.rows(np.arange(dataset.transitions))])
    if box is None:
        edge = torch.full((dataset.spec.state_width + 1,), math.inf)
        box = torch.stack([-edge, edge])
    card = model_card(dataset.spec, elites, tuple(range(elites)), terminates=terminates)
    return WorldModel(card, ensemble, box)


def make_ppo(config, task=SPEC, *, mean=0.0, std=1.0, device=None, support=None):
    """MOMA-PPO with fresh networks, every state feature having this mean and deviation."""
    units = torch.full((2, task.state_width), mean)
    units[1] = std
    limit = task.episode_limit if config.ppo.limit == "ends" else None
    critic = Critic(*units, config.ppo, config.seed, limit)
    actors = Actors(task, config.actor, config.seed)
    return MomaPPO(actors, critic, config.ppo, config.seed, device, support)


class FakeDynamics:
    """A small system whose rows end, disagree and draw, each by a rule a reader can redo."""

    def __init__(self, task=SPEC, *, terminal_above=1.2, edge=math.inf):
        self.task, self.terminal_above, self.edge = task, terminal_above, edge
        self.seeds, self.ages, self.actions = [], [], []

    def describe(self):
        return model_card(self.task)

    def metrics(self):
        return {"model_server/rows": float(sum(len(s) for s in self.seeds))}

    def predict(self, query):
        state, action, seed = query.state, query.action, query.seed
        self.seeds.append(seed.clone())
        self.ages.append(query.age.clone())
        self.actions.append(action.clone())
        draw = seeds.choose(seed, 1000).float() / 1000
        after = 0.9 * state + 0.2 * action.sum((1, 2))[:, None] + 0.3 * (draw[:, None] - 0.5)
        return Prediction(
            next_state=after,
            reward=after[:, 0] - 0.1 * action.square().sum((1, 2)),
            terminated=after[:, 0] > self.terminal_above,
            disagreement=after[:, 1].abs(),
            aleatoric=after[:, 2].abs(),
            reward_disagreement=after[:, 3].square(),
            outside=torch.cat([after, after[:, :1]], dim=1).abs() > self.edge,
            model=DIGEST,
        )


def make_query(state, action, seed, age=None):
    """A question; unless it says otherwise, every row's episode begins."""
    age = torch.zeros(len(state), dtype=torch.int64) if age is None else age
    return Query(state=state, action=action, age=age, seed=seed)


def picked(query, index):
    """Some rows of a query."""
    return Query(**{name: getattr(query, name)[index] for name in layouts(Query)})


def spoilt(query, **fields):
    """A copy with fields that nobody looked at; the tests' own check of shapes is passed by."""
    copy = replace(query)
    for name, value in fields.items():
        object.__setattr__(copy, name, value)
    return copy


def run_card(config, task=SPEC):
    """What workers of a run on this config are told."""
    return RunCard(
        run="unit",
        task=task,
        model_servers=(Address("nowhere", 1),),
        model=None,
        rollout=config.rollout,
        together=config.together,
        pessimism=config.pessimism,
        actor=config.actor,
    )


def uniform(rows, *shape, seed=0):
    """Numbers in (0, 1) to make noise of, `[rows, *shape]`."""
    return seeds.grid(seeds.rows(seed, rows), shape)


def as_history(frames):
    """What agents remember, a frame that is zeros for all of them being one that is missing."""
    return History(frames=frames, exists=frames.any(-1).any(1))


def some(history, rows):
    """The history of some rollouts."""
    return History(frames=history.frames[rows], exists=history.exists[rows])


def same_history(one, other):
    """True where no bit differs."""
    return torch.equal(one.frames, other.frames) and torch.equal(one.exists, other.exists)


def make_starts(rows, history, seed=0, task=SPEC, age=0):
    """Random start states; each row's window begins with as many absent frames as row % (H + 1).

    All are of one age, whatever they remember: rollouts are as long as their horizon lets them.
    """
    random = seeds.generator(seed, "test starts")
    window = torch.randn(rows, len(task.agents), history, task.frame_width, generator=random)
    mask = torch.cat([task.observation_mask, task.action_mask], dim=1).float()
    window = window * mask[None, :, None, :]
    for row in range(rows):
        window[row, :, : row % (history + 1)] = 0
    state = torch.randn(rows, task.state_width, generator=random)
    aged = torch.full((rows,), age, dtype=torch.int64)
    drawn = seeds.rows(seed, rows)
    return StartStates(state=state, history=as_history(window), age=aged, seed=drawn)


def make_trajectory(config, *, seed=0, steps=None, rows=None, **fields):
    """A segment of noise with the right shapes, all rows going on to the horizon."""
    random = seeds.generator(seed, "test trajectory")
    rows, steps = rows or config.rollout.rows, steps or config.rollout.horizon
    agents, width = len(SPEC.agents), SPEC.action_width
    never = torch.zeros(steps, rows, dtype=torch.bool)
    truncated = never.clone()
    truncated[-1] = True
    whole = Trajectory(
        policy_version=0,
        epoch=0,
        worker="w",
        incarnation=0,
        first=0,
        history=make_starts(rows, config.actor.history, seed).history,
        age=torch.zeros(rows, dtype=torch.int64),
        action=torch.randn(steps, rows, agents, width, generator=random) * SPEC.action_mask,
        state=torch.randn(steps + 1, rows, SPEC.state_width, generator=random),
        log_prob=torch.randn(steps, rows, agents, generator=random) * 0.1 - 2,
        reward=torch.randn(steps, rows, generator=random),
        penalty=torch.zeros(steps, rows),
        terminated=never,
        truncated=truncated,
        unsure=never,
        valid=~never,
    )
    return replace(whole, **fields)


def believing(config, limit):
    """Settings of rollouts, their penalty, and their truncation above a disagreement."""
    penalty = partial(pessimism.penalty, config=config.pessimism)
    truncation = partial(pessimism.truncate, limit=limit, edge=config.pessimism.edge)
    return config.rollout, penalty, truncation


def imagine(snapshot, config, dynamics=None, *, sequence=0, task=SPEC):
    """A segment that these actors make in a small system, as a worker would."""
    actors, seed = Actors(task, config.actor), seeds.derive(snapshot.version, "unit", sequence)
    actors.load(snapshot.parameters)
    starts = make_starts(config.rollout.rows, config.actor.history, seed, task)
    who = Identity(
        policy_version=snapshot.version,
        epoch=0,
        worker="w",
        incarnation=0,
        first=sequence * config.rollout.rows,
    )
    system = dynamics or FakeDynamics(task)
    return rollout(actors, system, starts, *believing(config, 0.8), who)


def shift(window, observation, action):
    """A history after one more step, the slow way: the oldest frame goes, a new one comes."""
    frame = torch.cat([observation, action], dim=-1)
    length, real = window.exists.shape[1], torch.ones(len(frame), 1, dtype=torch.bool)
    frames = torch.cat([window.frames, frame.unsqueeze(-2)], dim=-2)[..., 1:, :]
    return History(
        frames=frames[..., frames.shape[-2] - length :, :],
        exists=torch.cat([window.exists, real], dim=1)[:, 1:],
    )


def free_port():
    """A port of this machine that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_address():
    """Where nobody listens."""
    return Address("127.0.0.1", free_port())


def sparse_dataset(path, gigabytes, spec=None, length=1000):
    """A log of that size that takes hardly any disk: zeros but for its first ten episodes.

    Four agents on 111 features by default, as Ant has them; episodes are `length` steps long and
    every seventh one terminates.
    """
    spec = spec or _wide()
    row = 4 * (spec.state_width + spec.joint_action_width + 1) + 2
    episodes = max(10, round(gigabytes * 1e9 / row / length))
    steps, random = episodes * length, np.random.default_rng(0)
    path.mkdir(parents=True)
    shapes = {
        "state": (steps + episodes, spec.state_width),
        "action": (steps, len(spec.agents), spec.action_width),
        "reward": (steps,),
    }
    for name, shape in shapes.items():
        array = np.lib.format.open_memmap(path / f"{name}.npy", "w+", np.float32, shape)
        array[: 10 * length] = random.uniform(0, 1, (10 * length, *shape[1:])).astype(np.float32)
    start = np.arange(episodes) * length
    terminated, truncated = np.zeros((2, steps), dtype=np.bool_)
    truncated[start + length - 1] = True
    terminated[start[::7] + length - 1], truncated[start[::7] + length - 1] = True, False
    for name, array in (
        ("terminated", terminated), ("truncated", truncated), ("episode_start", start),
    ):  # fmt: skip
        np.save(path / f"{name}.npy", array, allow_pickle=False)
    meta = {"schema": SCHEMA, "task": asdict(spec), "origin": {"maker": "tests"}}
    (path / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    return path


def _wide():
    features, agents = 111, 4
    return TaskSpec(
        name="wide",
        agents=tuple(f"leg_{agent}" for agent in range(agents)),
        state_names=tuple(f"feature_{feature}" for feature in range(features)),
        observation_index=tuple(tuple(range(agent, features, agents)) for agent in range(agents)),
        action_low=((0.0, 0.0),) * agents,
        action_high=((1.0, 1.0),) * agents,
        episode_limit=1000,
    )
