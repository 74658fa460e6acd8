"""Actors act inside a `Dynamics` from start states. Pure: each rollout's draws have its seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from moma_core.config import RolloutConfig
from moma_core.nets import history
from moma_core.nets.draws import Draws, drawn
from moma_core.nets.policy import Actors
from moma_core.pessimism import Penalty, Truncation
from moma_core.ports import Dynamics, ModelChangedError
from moma_core.types import Metrics, Prediction, Query, StartStates, TaskSpec, Trajectory, layouts

Place = Int64[Tensor, " G"] | slice
"""Which rollouts of a segment: a slice of them, as long as none is left out."""
_COMPACT = 0.75
"""Rollouts that have ended are left out once no more than this share goes on."""
_NO_NUMBER = 1e6
"""What a disagreement that is no number counts as in the metrics."""
_MOST = 10
"""Features whose share of the rollouts that left the log is told: the largest ones."""
_STEPWISE = {
    name: layout for name, layout in layouts(Trajectory).items() if layout.axes[0][0] == "T"
}
"""The fields of a segment that grow with its steps."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whose segment this is, and which of the run's rollouts are in it."""

    policy_version: int
    epoch: int
    worker: str
    incarnation: int
    first: int
    """Number in the run of its first rollout."""


def rollout(
    actors: Actors,
    dynamics: Dynamics,
    starts: StartStates,
    settings: RolloutConfig,
    penalty: Penalty,
    truncation: Truncation,
    identity: Identity,
) -> Trajectory:
    """Imagines one segment of B rollouts, each to the horizon or until it has ended.

    A rollout's draws come from its own seed. In its last bits, what networks say of it depends on
    those that they are asked about at once: whoever wants the same bits brings the same ones.

    Args:
        actors: the team, at the version that `identity` names.
        dynamics: what the team is imagined in.
        starts: B states with what each agent remembers there, and each rollout's seed.
        settings: the horizon T, and how long a row stays with one member.
        penalty: what a prediction's uncertainty takes from its reward.
        truncation: where a prediction is too uncertain to go on from.
        identity: whose segment this is.

    Raises:
        ModelChangedError: answers came from more than one model.
    """
    store = _Store(actors.spec, starts, settings.horizon)
    draws = drawn(actors, starts.seed, settings)
    with torch.inference_mode():
        steps = _imagine(actors, dynamics, store, draws, penalty, truncation)
    return store.trajectory(identity, steps)


def _imagine(
    actors: Actors,
    dynamics: Dynamics,
    store: _Store,
    draws: Draws,
    penalty: Penalty,
    truncation: Truncation,
) -> int:
    """Goes on until no rollout does; returns the steps made."""
    spec, horizon = actors.spec, len(draws.noise)
    state, age = store.made["state"][0], store.age
    noise, draw = draws.noise, draws.member
    place: Place = slice(None)
    remembered = history.Ring(actors.remembered(store.history))
    alive = torch.ones(len(state), dtype=torch.bool)
    for step in range(horizon):
        observed = actors.observed(spec.observe(state))
        distribution = actors(observed, remembered.window)
        action = distribution.sample(noise[step])
        executed = spec.clamp(action)
        # Rollouts that have ended are asked along until they are left out: at some age there is.
        told = age.clamp_max(spec.episode_limit - 1)
        query = Query(state=state, action=executed, age=told, seed=draw[step])
        prediction = dynamics.predict(query)
        remembered.push(observed, executed)
        state, age = prediction.next_state, age + 1
        over = (age >= spec.episode_limit) | (step == horizon - 1)
        unsure = truncation(prediction)
        store.put(step, place, action=action, log_prob=distribution.log_prob(action))
        alive = store.outcome(step, place, prediction, penalty(prediction), unsure, over, alive)
        going = int(alive.sum())
        if not going:
            break
        if going <= _COMPACT * len(alive):
            kept = alive.nonzero().squeeze(1)
            place = store.row[place][kept]
            state, age, alive = state[kept], age[kept], alive[kept]
            noise, draw = noise[:, kept], draw[:, kept]
            remembered.keep(kept)
    return step + 1


class _Store:
    """A segment's tensors by their fields in `Trajectory`, as long as its horizon."""

    def __init__(self, spec: TaskSpec, starts: StartStates, steps: int) -> None:
        rows = len(starts.state)
        sizes = spec.sizes | {"T": steps, "B": rows}
        self.history, self.age, self._model = starts.history, starts.age, ""
        self.row = torch.arange(rows)
        self.made = {
            name: torch.zeros(layout.shape(sizes), dtype=layout.dtype)
            for name, layout in _STEPWISE.items()
        }
        self.made["state"][0] = starts.state
        self.disagreement = torch.zeros(steps, rows)
        self._left = torch.zeros(rows, spec.state_width + 1, dtype=torch.bool)
        self._cut = 0.0
        self._names = (*spec.state_names, "reward")

    def put(self, step: int, place: Place, **values: Tensor) -> None:
        """Stores what a step brought in some rollouts, field by field."""
        for name, value in values.items():
            self.made[name][step, place] = value

    def outcome(
        self,
        step: int,
        place: Place,
        prediction: Prediction,
        penalty: Float32[Tensor, " G"],
        unsure: Bool[Tensor, " G"],
        over: Bool[Tensor, " G"],
        alive: Bool[Tensor, " G"],
    ) -> Bool[Tensor, " G"]:
        """Stores what came of a step; returns the rollouts that go on.

        Args:
            step: the step.
            place: which rollouts made it.
            prediction: what the model answered.
            penalty: what its uncertainty takes from the reward.
            unsure: where the model cannot be believed any more.
            over: where the rollout or its episode has its last step.
            alive: the rollouts that had not ended before.
        """
        if self._model not in ("", prediction.model):
            raise ModelChangedError(f"model {self._model} became {prediction.model} meanwhile")
        self._model = prediction.model
        # What terminated is not truncated too.
        truncated = (unsure | over) & ~prediction.terminated
        self.disagreement[step, place] = prediction.disagreement
        self._count(place, prediction.outside, unsure, alive & ~prediction.terminated)
        self.put(step + 1, place, state=prediction.next_state)
        self.put(
            step,
            place,
            reward=prediction.reward - penalty,
            penalty=penalty,
            terminated=prediction.terminated & alive,
            truncated=truncated & alive,
            unsure=unsure & truncated & alive,
            valid=alive,
        )
        return alive & ~(prediction.terminated | truncated)

    def _count(
        self,
        place: Place,
        outside: Bool[Tensor, "G C"],
        unsure: Bool[Tensor, " G"],
        alive: Bool[Tensor, " G"],
    ) -> None:
        """Notes which rollouts left the log and by what, and counts those that are cut inside it.

        Args:
            place: which rollouts made the step.
            outside: features, and last the reward, that left the log's range.
            unsure: where the model cannot be believed any more.
            alive: the rollouts that no terminal has ended.
        """
        left = outside & alive[:, None]
        self._left[place] |= left
        self._cut += float((unsure & alive & ~left.any(1)).sum())

    def trajectory(self, identity: Identity, steps: int) -> Trajectory:
        """Returns what was stored of the first `steps` steps."""
        unused = len(self.disagreement) - steps
        return Trajectory(
            policy_version=identity.policy_version,
            epoch=identity.epoch,
            worker=identity.worker,
            incarnation=identity.incarnation,
            first=identity.first,
            history=self.history,
            age=self.age,
            model=self._model,
            metrics=self._metrics(),
            **{name: tensor[: len(tensor) - unused] for name, tensor in self.made.items()},
        )

    def _metrics(self) -> Metrics:
        made, valid = self.made, self.made["valid"]
        rows, count = valid.shape[1], valid.sum()
        reward = (made["reward"] + made["penalty"]) * valid
        found: Tensor = self.disagreement[valid]
        found = torch.where(found.isfinite(), found, _NO_NUMBER)
        share = self._left.float().mean(0)
        most = share.argsort(descending=True)[:_MOST].tolist()
        left = {self._names[i]: float(share[i]) for i in most if share[i]}
        return {
            "rollout/length": float(count / rows),
            "rollout/return": float(reward.sum() / rows),
            "rollout/model_reward": float(reward.sum() / count),
            "rollout/penalty": float((made["penalty"] * valid).sum() / count),
            "rollout/disagreement_mean": float(found.mean()),
            "rollout/disagreement_max": float(found.max()),
            "rollout/cut_fraction": self._cut / rows,
            "rollout/outside_fraction": float(self._left.any(1).float().mean()),
            **{f"rollout/outside/{name}": of_it for name, of_it in left.items()},
            "rollout/terminated_fraction": float(made["terminated"].sum() / rows),
        }
