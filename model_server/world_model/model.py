"""The kept members as a `Dynamics`: draw a member per row, and from it what comes next."""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor

from model_server.world_model import chance, uncertainty
from model_server.world_model.ensemble import Ensemble
from moma_core import seeds
from moma_core.checks import check_query
from moma_core.types import Metrics, ModelCard, Prediction, Query

_MARGIN = 0.05
"""Standard deviations of a feature past the log's range that are the model's error, not a step."""
_REWARD_MARGIN = 0.25
"""The same of the reward."""


class WorldModel:
    """A fitted ensemble, ready to be asked. It changes nothing and keeps no state between calls."""

    def __init__(self, card: ModelCard, ensemble: Ensemble, box: Float32[Tensor, "2 D"]) -> None:
        """Takes the ensemble of the elites.

        Args:
            card: what the model says of itself.
            ensemble: holding exactly the elites.
            box: lowest and highest value of every state feature and of the reward in the data.
        """
        self._card = card
        self._ensemble = ensemble.eval().requires_grad_(False)
        self._box = box
        self._scale = ensemble.units.output_scale
        self._log_scale = self._scale.clamp_min(1e-12).log()
        units = ensemble.units
        self._margin = torch.cat(
            [_MARGIN * units.state_std, _REWARD_MARGIN * units.reward_std[None]]
        )
        self._rows = 0

    def describe(self) -> ModelCard:
        """Returns the model's card."""
        return self._card

    @property
    def ensemble(self) -> Ensemble:
        """The elites' networks."""
        return self._ensemble

    @property
    def state_std(self) -> Float32[Tensor, " S"]:
        """Standard deviation of the data's state features (1 in raw units)."""
        return self._ensemble.units.state_std

    def metrics(self) -> Metrics:
        """Returns the rows predicted so far."""
        return {"model_server/rows": float(self._rows)}

    def predict(self, query: Query) -> Prediction:
        """Predicts one step: one drawn member's next state, drawn too, and its mean reward."""
        check_query(self._card.task, query)
        self._rows += query.rows
        return self.compute(query)

    @torch.inference_mode()
    def compute(self, query: Query) -> Prediction:
        """Predicts rows that lie where the model does; nothing is read back, nothing checked."""
        ensemble, units = self._ensemble, self._ensemble.units
        members = len(self._card.elites)
        inputs = units.inputs(query.state, query.action, query.age)
        row = torch.arange(query.rows, device=query.state.device)
        member, asked = seeds.choose(query.seed, members), inputs.expand(members, *inputs.shape)
        logit = ensemble.code_logit(asked)
        code = chance.code(logit, query, member)
        outputs = ensemble.given(asked, logit, code)
        expected = ensemble.expected(inputs, outputs)
        next_state = chance.next_state(ensemble, outputs, query, member, code)
        reward = units.reward(outputs.mean[member, row, -1:])
        scaled = expected.mean * self._scale
        log_variance = expected.log_variance + 2 * self._log_scale
        reached = torch.cat([next_state, reward], dim=1)
        within = torch.clamp(reached, *self._box)
        return Prediction(
            next_state=within[:, :-1],
            reward=within[:, -1],
            terminated=chance.terminated(ensemble, outputs, query, member),
            disagreement=uncertainty.disagreement(scaled),
            aleatoric=uncertainty.aleatoric(log_variance),
            reward_disagreement=uncertainty.reward_disagreement(scaled),
            outside=(reached - within).abs() > self._margin,
            model=self._card.digest,
        )

    def to(self, device: torch.device) -> WorldModel:
        """Moves the model to a device and returns it."""
        self._ensemble.to(device)
        self._box, self._margin = self._box.to(device), self._margin.to(device)
        self._scale, self._log_scale = self._scale.to(device), self._log_scale.to(device)
        return self
