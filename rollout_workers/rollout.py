"""Actors act inside a `Dynamics` from start states. Pure: all randomness comes from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from moma_core import seeds
from moma_core.nets import history
from moma_core.nets.policy import Actors
from moma_core.ports import Dynamics, ModelChangedError
from moma_core.types import Metrics, Prediction, Query, RunCard, StartStates, Trajectory, layouts
from rollout_workers import pessimism

Place = Int64[Tensor, " G"] | slice
"""Which rollouts of a segment: a slice of them, as long as none is left out."""
_COMPACT = 0.75
"""Rollouts that have ended are left out once no more than this share goes on."""
_STEPWISE = {
    name: layout for name, layout in layouts(Trajectory).items() if layout.axes[0] in ("T", "T+1")
}
"""The fields of a segment that grow with its steps."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whose segment this is, which one, and the seed of every draw in it."""

    policy_version: int
    epoch: int
    worker: str
    incarnation: int
    sequence: int
    seed: int


def rollout(
    actors: Actors,
    dynamics: Dynamics,
    starts: StartStates,
    card: RunCard,
    truncate_above: float,
    identity: Identity,
) -> Trajectory:
    """Imagines one segment of B rollouts, to the horizon or until all have ended.

    Rollouts begin at `starts` and are truncated where the ensemble's disagreement passes
    `truncate_above`; every draw comes from the seed of `identity`, which goes with the segment.

    Args:
        actors: the team, at the version that `identity` names.
        dynamics: what the team is imagined in.
        starts: B states with what each agent remembers there.
        card: the run's, with the team, the horizon and the penalty.
        truncate_above: disagreement above which a rollout is truncated.
        identity: whose segment this is, and the seed of its draws.

    Raises:
        ModelChangedError: answers came from more than one model.
    """
    rows = len(starts.state)
    store = _Store(card, starts)
    shape = store.made["action"].shape
    noise = actors.distribution.noise(shape, seeds.generator(identity.seed, "actions"))
    row_seed = seeds.rows(seeds.derive(identity.seed, "members"), rows)
    turn = torch.arange(card.rollout.horizon) * (card.rollout.member_per == "step")
    draw = seeds.mix(row_seed + turn[:, None])
    with torch.inference_mode():
        steps = _imagine(actors, dynamics, store, _Draws(noise=noise, member=draw), truncate_above)
    return store.trajectory(identity, steps)


@dataclass(frozen=True, kw_only=True)
class _Draws:
    """A segment's, step by step."""

    noise: Float32[Tensor, "T B A U"]
    member: Int64[Tensor, "T B"]
    """Seeds by which the model draws members."""


def _imagine(
    actors: Actors, dynamics: Dynamics, store: _Store, draws: _Draws, truncate_above: float
) -> int:
    """Goes on until no rollout does; returns the steps made."""
    spec, settings = store.card.task, store.card.rollout
    state, noise, draw = store.made["state"][0], draws.noise, draws.member
    place: Place = slice(None)
    remembered = history.Ring(actors.remembered(store.history))
    alive = torch.ones(len(state), dtype=torch.bool)
    for step in range(settings.horizon):
        observed = actors.observed(spec.observe(state))
        distribution = actors(observed, remembered.window)
        action = distribution.sample(noise[step])
        executed = spec.clamp(action)
        prediction = dynamics.predict(Query(state=state, action=executed, seed=draw[step]))
        remembered.push(observed, executed)
        state = prediction.next_state
        truncate = pessimism.truncate(prediction, truncate_above)
        truncate = truncate | (step == settings.horizon - 1)
        store.put(step, place, action=action, log_prob=distribution.log_prob(action))
        alive = store.outcome(step, place, prediction, truncate, alive)
        going = int(alive.sum())
        if not going:
            break
        if going <= _COMPACT * len(alive):
            kept = alive.nonzero().squeeze(1)
            place = store.row[place][kept]
            state, alive = state[kept], alive[kept]
            noise, draw = noise[:, kept], draw[:, kept]
            remembered.keep(kept)
    return step + 1


class _Store:
    """A segment's tensors by their fields in `Trajectory`, as long as its horizon."""

    def __init__(self, card: RunCard, starts: StartStates) -> None:
        steps, rows = card.rollout.horizon, len(starts.state)
        sizes = card.task.sizes | {"T": steps, "B": rows}
        self.card, self.history, self._model = card, starts.history, ""
        self.row = torch.arange(rows)
        self.made = {
            name: torch.zeros(layout.shape(sizes), dtype=layout.dtype)
            for name, layout in _STEPWISE.items()
        }
        self.made["state"][0] = starts.state
        self.disagreement = torch.zeros(steps, rows)

    def put(self, step: int, place: Place, **values: Tensor) -> None:
        """Stores what a step brought in some rollouts, field by field."""
        for name, value in values.items():
            self.made[name][step, place] = value

    def outcome(
        self,
        step: int,
        place: Place,
        prediction: Prediction,
        truncate: Bool[Tensor, " G"],
        alive: Bool[Tensor, " G"],
    ) -> Bool[Tensor, " G"]:
        """Stores what came of a step; returns the rollouts that go on."""
        if self._model not in ("", prediction.model):
            raise ModelChangedError(f"model {self._model} became {prediction.model} meanwhile")
        self._model = prediction.model
        penalty = pessimism.penalty(prediction, self.card.pessimism)
        truncated = truncate & ~prediction.terminated  # what terminated is not truncated too
        self.disagreement[step, place] = prediction.disagreement
        self.put(step + 1, place, state=prediction.next_state)
        self.put(
            step,
            place,
            reward=prediction.reward - penalty,
            penalty=penalty,
            terminated=prediction.terminated & alive,
            truncated=truncated & alive,
            valid=alive,
        )
        return alive & ~(prediction.terminated | truncated)

    def trajectory(self, identity: Identity, steps: int) -> Trajectory:
        """Returns what was stored of the first `steps` steps."""
        unused = len(self.disagreement) - steps
        return Trajectory(
            policy_version=identity.policy_version,
            epoch=identity.epoch,
            worker=identity.worker,
            incarnation=identity.incarnation,
            sequence=identity.sequence,
            history=self.history,
            metrics=self._metrics(steps),
            **{name: tensor[: len(tensor) - unused] for name, tensor in self.made.items()},
        )

    def _metrics(self, steps: int) -> Metrics:
        made, valid = self.made, self.made["valid"]
        rows, count = valid.shape[1], valid.sum()
        reward = (made["reward"] + made["penalty"]) * valid
        found: Tensor = self.disagreement[valid]
        found = torch.where(found.isfinite(), found, self.card.pessimism.clamp)
        truncated = made["truncated"]
        early = truncated[: steps - 1].sum() if steps == len(valid) else truncated.sum()
        return {
            "rollout/length": float(count / rows),
            "rollout/return": float(reward.sum() / rows),
            "rollout/model_reward": float(reward.sum() / count),
            "rollout/penalty": float((made["penalty"] * valid).sum() / count),
            "rollout/disagreement_mean": float(found.mean()),
            "rollout/disagreement_max": float(found.max()),
            "rollout/cut_fraction": float(early / rows),
            "rollout/terminated_fraction": float(made["terminated"].sum() / rows),
        }
