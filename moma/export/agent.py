"""One agent's whole policy as one function of raw numbers: what its ONNX file computes.

Its memory is rows of 1, observation and action, oldest first; a row of zeros is a step before the
episode began. All zeros is the memory at the start of an episode.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn.functional import one_hot, pad

from moma_core.nets.policy import Actors
from moma_core.types import History

OPSET = 18
"""Version of ONNX's operators: what the exporter of torch writes best, and old runtimes read."""


class AgentPolicy(nn.Module):
    """One agent's policy, normaliser and memory inside.

    Args:
        actors: the team's policies.
        agent: whose is taken.
    """

    low: Tensor
    high: Tensor

    def __init__(self, actors: Actors, agent: int) -> None:
        super().__init__()
        spec = actors.spec
        self.actors = actors.alone(agent).eval()
        self.observed = len(spec.observation_index[agent])
        self.acted = len(spec.action_low[agent])
        self.chooses = spec.discrete[agent]
        self.history = actors.config.history
        self._padding = spec.observation_width - self.observed, spec.action_width - self.acted
        index = list(spec.observation_index[agent])
        self.offset = (
            torch.tensor(spec.state_offset, dtype=torch.float64)[index]
            if spec.state_offset
            else None
        )
        """What the log took off each feature, which float32 could not hold beside its changes."""
        self.register_buffer("low", torch.tensor(spec.action_low[agent]))
        self.register_buffer("high", torch.tensor(spec.action_high[agent]))

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what goes in, by name."""
        found: dict[str, tuple[int, ...]] = {"observation": (self.observed,)}
        if self.history:
            found["memory"] = (self.history, 1 + self.observed + self.acted)
        return found

    def kind(self, name: str) -> str:
        """Returns the kind of number of an input or output."""
        return "float64" if name == "observation" and self.offset is not None else "float32"

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what comes out, by name."""
        told = ("logits",) if self.chooses else ("mean", "std")
        found: dict[str, tuple[int, ...]] = dict.fromkeys(("action", *told), (self.acted,))
        if self.history:
            found["next_memory"] = self.inputs["memory"]
        return found

    def forward(
        self, observation: Float[Tensor, " O"], memory: Float32[Tensor, "H W"] | None = None
    ) -> tuple[Tensor, ...]:
        """Returns what `outputs` names.

        Args:
            observation: what the agent sees, in the log's units, `[O]`; in float64 where the log
                took an offset off.
            memory: rows of 1, observation and action, `[H W]`; None where it remembers nothing.
        """
        if self.offset is not None:
            observation = (observation - self.offset).float()
        if memory is None:
            memory = observation.new_zeros(0, 1 + self.observed + self.acted)
        wide, long = self._padding
        seen = self.actors.observed(pad(observation, (0, wide))[None, None])
        past = pad(memory[:, 1 : 1 + self.observed], (0, wide))
        done = pad(memory[:, 1 + self.observed :], (0, long))
        frames = torch.cat([past, done], dim=-1)[None, None]
        history = History(frames=frames, exists=memory[None, :, 0] > 0.5)
        action, told = self._said(self.actors(seen, self.actors.remembered(history)))
        row = torch.cat([torch.ones_like(observation[:1]), observation, action])
        kept = (torch.cat([memory[1:], row[None]]),) if self.history else ()
        return action, *told, *kept

    def _said(self, given: object) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Returns the most likely action, and what else is said of the distribution."""
        if self.chooses:
            logits = _part(given, "categorical").logits[0, 0, : self.acted]
            return one_hot(logits.argmax(-1), self.acted).to(logits.dtype), (logits,)
        gaussian = _part(given, "gaussian")
        mean, std = (part[0, 0, : self.acted] for part in (gaussian.mean, gaussian.log_std.exp()))
        return torch.minimum(torch.maximum(mean, self.low), self.high), (mean, std)


def _part(given: object, name: str) -> Any:  # noqa: ANN401 - either distribution
    """Returns a distribution's part of that name where it is a mixed one, or else itself."""
    return getattr(given, name, given)


def save(policy: AgentPolicy, path: Path) -> None:
    """Writes an agent's policy as an ONNX file, weights inside."""
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            policy,
            tuple(
                torch.zeros(shape, dtype=getattr(torch, policy.kind(name)))
                for name, shape in policy.inputs.items()
            ),
            path,
            input_names=list(policy.inputs),
            output_names=list(policy.outputs),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to itself what the exporter tells of packages that are not there and of its own."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
