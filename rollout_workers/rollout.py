"""Actors act inside a `Dynamics` from start states. Pure: all randomness comes from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from moma import history, seeds
from moma.policy import Actors
from moma.ports import Dynamics
from moma.types import Metrics, Prediction, RunCard, StartStates, Trajectory
from rollout_workers import pessimism


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whose segment this is, and which one."""

    policy_version: int
    epoch: int
    worker: str
    incarnation: int
    sequence: int


@torch.no_grad()
def rollout(
    actors: Actors,
    dynamics: Dynamics,
    starts: StartStates,
    card: RunCard,
    cut_above: float,
    seed: int,
    identity: Identity,
) -> Trajectory:
    """Imagines one segment of B rollouts, to the horizon or until all have ended.

    Rollouts begin at `starts` and are truncated where the ensemble's disagreement passes
    `cut_above`; every draw comes from `seed`; `identity` goes with the segment.
    """
    spec, settings = card.task, card.rollout
    rows, last = starts.state.shape[0], settings.horizon - 1
    store = _Store(card, starts)
    noise = actors.distribution.noise(store.action.shape, seeds.generator(seed, "actions"))
    row_seed = seeds.rows(seeds.derive(seed, "members"), rows)
    alive = torch.ones(rows, dtype=torch.bool)
    state, remembered = starts.state, history.Ring(actors.remembered(starts.history))
    for step in range(last + 1):
        observed = actors.observed(spec.observe(state))
        distribution = actors(observed, remembered.window)
        action = distribution.sample(noise[step])
        executed = spec.clamp(action)
        draw = seeds.mix(row_seed + step) if settings.member_per == "step" else row_seed
        prediction = dynamics.predict(state, executed, draw)
        remembered.push(observed, executed)
        state = prediction.next_state
        cut = pessimism.cut(prediction, cut_above) | (step == last)
        store.action[step] = action
        store.log_prob[step] = distribution.log_prob(action)
        if not (alive := store.outcome(step, prediction, cut, alive)).any():
            break
    return store.trajectory(identity, step + 1)


class _Store:
    """Preallocated `[T B ...]` tensors of one segment."""

    def __init__(self, card: RunCard, starts: StartStates) -> None:
        steps, rows, spec = card.rollout.horizon, len(starts.state), card.task
        agents, width = len(spec.agents), spec.action_width
        self._pessimism, self._history = card.pessimism, starts.history
        self.state = torch.zeros(steps + 1, rows, spec.state_width)
        self.state[0] = starts.state
        self.action = torch.zeros(steps, rows, agents, width)
        self.log_prob = torch.zeros(steps, rows, agents)
        self.reward, self.penalty, self.disagreement = torch.zeros(3, steps, rows)
        self.terminated, self.truncated, self.valid = torch.zeros(3, steps, rows, dtype=torch.bool)

    def outcome(
        self,
        step: int,
        prediction: Prediction,
        cut: Bool[Tensor, " B"],
        alive: Bool[Tensor, " B"],
    ) -> Bool[Tensor, " B"]:
        """Stores what came of a step; returns the rows that go on. Ended is not cut."""
        penalty = pessimism.penalty(prediction, self._pessimism)
        truncated = cut & ~prediction.terminated
        self.state[step + 1] = prediction.next_state
        self.reward[step] = prediction.reward - penalty
        self.penalty[step] = penalty
        self.disagreement[step] = prediction.disagreement
        self.terminated[step] = prediction.terminated & alive
        self.truncated[step] = truncated & alive
        self.valid[step] = alive
        return alive & ~(prediction.terminated | truncated)

    def trajectory(self, identity: Identity, steps: int) -> Trajectory:
        """Returns what was stored of the first `steps` steps."""
        return Trajectory(
            policy_version=identity.policy_version,
            epoch=identity.epoch,
            worker=identity.worker,
            incarnation=identity.incarnation,
            sequence=identity.sequence,
            history=self._history,
            state=self.state[: steps + 1],
            action=self.action[:steps],
            log_prob=self.log_prob[:steps],
            reward=self.reward[:steps],
            penalty=self.penalty[:steps],
            terminated=self.terminated[:steps],
            truncated=self.truncated[:steps],
            valid=self.valid[:steps],
            metrics=self._metrics(steps),
        )

    def _metrics(self, steps: int) -> Metrics:
        valid = self.valid
        rows, count = valid.shape[1], valid.sum()
        doubt: Tensor = self.disagreement[valid]
        doubt = torch.where(doubt.isfinite(), doubt, self._pessimism.clamp)
        early = self.truncated[: steps - 1].sum() if steps == len(valid) else self.truncated.sum()
        return {
            "rollout/length": float(count / rows),
            "rollout/return": float(((self.reward + self.penalty) * valid).sum() / rows),
            "rollout/model_reward": float(((self.reward + self.penalty) * valid).sum() / count),
            "rollout/penalty": float((self.penalty * valid).sum() / count),
            "rollout/disagreement_mean": float(doubt.mean()),
            "rollout/disagreement_max": float(doubt.max()),
            "rollout/cut_fraction": float(early / rows),
            "rollout/terminated_fraction": float(self.terminated.sum() / rows),
        }
