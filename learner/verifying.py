"""A sample of what workers send is made again and compared (`--verify-share`).

Each step is made from where the segment itself says that it was: what rounding does at one step
does not grow over the next ones, and all steps are asked for at once.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Literal

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from moma_core import pessimism
from moma_core.nets.draws import Draws, drawn
from moma_core.nets.history import Ring
from moma_core.nets.kernels import hidden
from moma_core.nets.policy import Actors
from moma_core.ports import BusyError, DeadlineError, Dynamics, InvalidFieldError, UnavailableError
from moma_core.types import ModelCard, PolicySnapshot, Query, RunCard, StartStates, Trajectory

_CLOSE = {torch.float32: 1e-5, torch.bfloat16: 3e-4}
"""Difference that rounding makes of one step, as a share of a feature's range in the log; measured
of hidden layers in bf16: 3e-5."""
_FEW = 1e-3
"""Share of steps that may differ: where a draw is a choice, rounding may turn it now and then."""
_ROWS = 2048
"""Steps that the model is asked for at once."""
_LOG = logging.getLogger(__name__)


class Verifier:
    """Compares some segments with what they ought to be. Used from any thread."""

    def __init__(
        self,
        card: RunCard,
        model: ModelCard,
        dynamics: Dynamics,
        share: float,
        precision: Literal["auto", "fp32", "bf16"] = "fp32",
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Asks nothing yet.

        Args:
            card: what workers are told.
            model: the run's.
            dynamics: a server of that model.
            share: of the segments, between 0 and 1.
            precision: that the model is served in.
            draw: a number between 0 and 1; not of the run's seed, or it could be foretold.
        """
        self._card, self._dynamics, self._share, self._draw = card, dynamics, share, draw
        self._close = _CLOSE[hidden(precision)]
        self._range = torch.ones(card.task.state_width + 1)
        if model.low:
            self._range = (torch.tensor(model.high) - torch.tensor(model.low)).clamp_min(1e-3)
        self._truncation = pessimism.truncation(card.pessimism, model)
        self._actors, self._asking = Actors(card.task, card.actor), Lock()

    def __call__(self, segment: Trajectory, starts: StartStates, policy: PolicySnapshot) -> None:
        """Compares a segment, where it is one of the sample.

        A model server that is away is no reason to refuse anything.

        Args:
            segment: as it came.
            starts: where its rollouts were to begin, with their seeds.
            policy: that it was made with.

        Raises:
            InvalidFieldError: it is not what these and the model come to.
        """
        if self._draw() >= self._share:
            return
        try:
            with self._asking, torch.inference_mode():
                self._actors.load(policy.parameters)
                draws = drawn(self._actors, starts.seed, self._card.rollout)
                self._acted(segment, starts, draws)
                self._answered(segment, draws)
        except (BusyError, UnavailableError, DeadlineError) as error:
            _LOG.warning("a segment of %s was not made again: %s", segment.worker, error)

    def _acted(self, segment: Trajectory, starts: StartStates, draws: Draws) -> None:
        """Compares the actions with what the policy draws where each agent was."""
        actors, spec = self._actors, self._card.task
        ring, made = Ring(actors.remembered(starts.history)), []
        for step, action in enumerate(segment.action):
            observed = actors.observed(spec.observe(segment.state[step]))
            distribution = actors(observed, ring.window)
            own = distribution.sample(draws.noise[step])
            made.append((own, distribution.log_prob(action)))
            ring.push(observed, spec.clamp(action))
        action, log_prob = (torch.stack(parts) for parts in zip(*made, strict=True))
        self._compare("action", segment.action[segment.valid], action[segment.valid])
        self._compare("log_prob", segment.log_prob[segment.valid], log_prob[segment.valid])

    def _answered(self, segment: Trajectory, draws: Draws) -> None:
        """Compares what came of the actions with what the model answers."""
        spec, settings = self._card.task, self._card.rollout
        for step, row in _chunks(segment.valid):
            age = segment.age[row] + step
            query = Query(
                state=segment.state[step, row],
                action=spec.clamp(segment.action[step, row]),
                age=age,
                seed=draws.member[step, row],
            )
            answer = self._dynamics.predict(query)
            lost = pessimism.penalty(answer, self._card.pessimism)
            unsure = self._truncation(answer)
            over = (age + 1 >= spec.episode_limit) | (step + 1 == settings.horizon)
            truncated = (unsure | over) & ~answer.terminated
            own = {
                "penalty": lost,
                "terminated": answer.terminated,
                "truncated": truncated,
                "unsure": unsure & truncated,
            }
            after, reward = segment.state[step + 1, row], segment.reward[step, row]
            self._compare("state", after, answer.next_state, self._range[:-1])
            self._compare("reward", reward, answer.reward - lost, self._range[-1])
            for name, value in own.items():
                self._compare(name, getattr(segment, name)[step, row], value)

    def _compare(self, name: str, came: Tensor, own: Tensor, scale: Tensor | None = None) -> None:
        """Refuses what differs by more than rounding in more than a few steps.

        Args:
            name: of the field.
            came: what was sent, `[N ...]`.
            own: what it comes to here.
            scale: a feature's range; None: a number's own size, 1 at the least.

        Raises:
            InvalidFieldError: naming the field, and the largest difference.
        """
        came, own = came.float(), own.float()
        off = (came - own).abs() / (own.abs().clamp_min(1) if scale is None else scale)
        wrong = int((off > self._close).reshape(len(off), -1).any(1).sum())
        if wrong > max(1, _FEW * len(off)):
            at = int(off.argmax())
            raise InvalidFieldError(
                f"{name}: {float(came.flatten()[at]):.6g}, made again it is "
                f"{float(own.flatten()[at]):.6g}; so in {wrong} of {len(off)} steps"
            )


def _chunks(
    valid: Bool[Tensor, "T B"],
) -> Iterator[tuple[Int64[Tensor, " N"], Int64[Tensor, " N"]]]:
    """Yields steps and rows of what is valid, some at a time."""
    for chunk in valid.nonzero().split(_ROWS):
        yield chunk[:, 0], chunk[:, 1]
