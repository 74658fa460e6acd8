"""What an agent makes of its last frames: memories behind one signature, all agents stacked.

Each maps the frames `[A N H F]` to a summary `[A N M]`. `exists` `[N H]` says which frames there
are: where the episode had not begun, the frame is zeros and counts for nothing.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from moma_core.config import ActorConfig
from moma_core.nets.stacked import StackedLinear, StackedNorm


def build(
    config: ActorConfig, agents: int, frame: int, generator: torch.Generator
) -> FramesMemory | AttentionMemory | GruMemory | NoMemory:
    """Returns the memory that `config.memory` names.

    Args:
        config: the actors' settings: memory, history H and the summary's width M.
        agents: agents, A.
        frame: width of a frame, F = O + U.
        generator: of the first weights.
    """
    if config.history == 0:
        return NoMemory()
    if config.memory == "frames":
        return FramesMemory(config.history * frame)
    if config.memory == "gru":
        return GruMemory(agents, frame, config.memory_width, generator)
    return AttentionMemory(agents, config.history, frame, config.memory_width, generator)


class NoMemory(nn.Module):
    """Remembers nothing."""

    width = 0

    def forward(
        self,
        frames: Float[Tensor, "A N H F"],
        exists: Bool[Tensor, "N H"],  # noqa: ARG002
    ) -> Float[Tensor, "A N M"]:
        """Returns an empty summary."""
        return frames.flatten(2)[..., :0]


class FramesMemory(nn.Module):
    """The frames side by side, as they are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(
        self,
        frames: Float[Tensor, "A N H F"],
        exists: Bool[Tensor, "N H"],  # noqa: ARG002
    ) -> Float[Tensor, "A N M"]:
        """Joins the frames, zeros for those that there are not."""
        return frames.flatten(2)


class GruMemory(nn.Module):
    """A gated recurrent unit (Cho et al. 2014, as in `torch.nn.GRU`) over the frames that exist.

    Args:
        agents: agents, A, each with its own unit.
        frame: width of a frame, F.
        width: width of the state, which is the summary, M.
        generator: of the first weights.
    """

    def __init__(self, agents: int, frame: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.width = width
        self.inputs = StackedLinear(agents, frame, 3 * width, generator)
        self.hidden = StackedLinear(agents, width, 3 * width, generator)

    def forward(
        self, frames: Float32[Tensor, "A N H F"], exists: Bool[Tensor, "N H"]
    ) -> Float32[Tensor, "A N M"]:
        """Returns the state after the newest frame; zero where there is none."""
        state = frames.new_zeros(*frames.shape[:2], self.width)
        for frame, real in zip(frames.unbind(2), exists.unbind(1), strict=True):
            reset_x, update_x, new_x = self.inputs(frame).chunk(3, dim=-1)
            reset_h, update_h, new_h = self.hidden(state).chunk(3, dim=-1)
            update = torch.sigmoid(update_x + update_h)
            new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
            state = torch.where(real[:, None], (1 - update) * new + update * state, state)
        return state


class AttentionMemory(nn.Module):
    """Single-head self-attention over the frames, pooled by a learned query.

    After arXiv 2305.17198: linear embedding, sinusoidal positions (Vaswani et al. 2017, section
    3.5), attention, residual and LayerNorm, soft pooling.

    Args:
        agents: agents, A, each with its own weights.
        history: frames of a window, H.
        frame: width of a frame, F.
        width: width of an embedded frame and of the summary, M.
        generator: of the first weights.
    """

    positions: Tensor

    def __init__(
        self, agents: int, history: int, frame: int, width: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.width = width
        self.embed = StackedLinear(agents, frame, width, generator)
        self.project = StackedLinear(agents, width, 3 * width, generator)
        self.norm = StackedNorm(agents, width)
        self.query = nn.Parameter(torch.randn(agents, 1, width, generator=generator))
        self.register_buffer("positions", sinusoids(history, width), persistent=False)

    def forward(
        self, frames: Float32[Tensor, "A N H F"], exists: Bool[Tensor, "N H"]
    ) -> Float32[Tensor, "A N M"]:
        """Summarises the frames that exist; the summary of none is zero."""
        _, rows, history, _ = frames.shape
        embedded = self.embed(frames.flatten(1, 2)).unflatten(1, (rows, history)) + self.positions
        flat = self.project(embedded.flatten(1, 2)).unflatten(1, (rows, history))
        query, key, value = flat.chunk(3, dim=-1)
        scores = query @ key.transpose(-1, -2) / math.sqrt(self.width)
        attended = _weights(scores, exists[:, None, :]) @ value
        hidden = self.norm((embedded + attended).flatten(1, 2)).unflatten(1, (rows, history))
        pool = (hidden @ self.query[:, None].transpose(-1, -2)).squeeze(-1) / math.sqrt(self.width)
        return torch.einsum("anh,anhm->anm", _weights(pool, exists), hidden)


def sinusoids(length: int, width: int) -> Float32[Tensor, "H M"]:
    """Sinusoidal position embeddings `[H M]` (Vaswani et al. 2017, section 3.5)."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(length)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :width]


def _weights(scores: Tensor, exists: Tensor) -> Tensor:
    """Softmax over what exists; all zero where nothing does."""
    return torch.softmax(scores.masked_fill(~exists, -1e9), dim=-1) * exists
