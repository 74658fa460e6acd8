"""Memories: what exists is looked at, what does not exist is not."""

import math

import pytest
import torch

from moma_core.config import ActorConfig
from moma_core.nets.memory import (
    AttentionMemory,
    FramesMemory,
    GruMemory,
    NoMemory,
    build,
    sinusoids,
)

AGENTS, ROWS, HISTORY, FRAME, WIDTH = 2, 3, 4, 5, 6


def attention(seed=0):
    random = torch.Generator().manual_seed(seed)
    return AttentionMemory(AGENTS, HISTORY, FRAME, WIDTH, random)


def noise(seed=1):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(AGENTS, ROWS, HISTORY, FRAME, generator=random)


def all_but(absent):
    """A mask without the first frames of every row."""
    return (torch.arange(HISTORY) >= absent).expand(ROWS, HISTORY)


ALL = all_but(0)


def slow_attention(memory, agent, frames, absent):
    """One agent, one row, only the frames that exist, in the paper's order of operations."""
    kept = list(range(absent, HISTORY))
    embed = frames[kept] @ memory.embed.weight[agent] + memory.embed.bias[agent]
    embed = embed + memory.positions[kept]
    joined = embed @ memory.project.weight[agent] + memory.project.bias[agent]
    query, key, value = joined.split(WIDTH, dim=-1)
    attended = torch.softmax(query @ key.T / math.sqrt(WIDTH), -1) @ value
    hidden = torch.nn.functional.layer_norm(embed + attended, (WIDTH,))
    pool = torch.softmax(hidden @ memory.query[agent, 0] / math.sqrt(WIDTH), 0)
    return pool @ hidden


@pytest.mark.parametrize("absent", [0, 1, 3])
def test_attention_equals_the_slow_one_over_the_frames_that_exist(absent):
    memory, frames = attention(), noise()
    frames[:, :, :absent] = 0
    frames[:, :, -1] = 0  # an agent at rest: zeros that exist
    got = memory(frames, all_but(absent))
    for agent in range(AGENTS):
        for row in range(ROWS):
            slow = slow_attention(memory, agent, frames[agent, row], absent)
            torch.testing.assert_close(got[agent, row], slow, rtol=1e-4, atol=1e-5)


def test_the_summary_of_no_frames_is_zero_and_has_finite_gradients():
    memory = attention()
    summary = memory(torch.zeros(AGENTS, ROWS, HISTORY, FRAME), all_but(HISTORY))
    assert torch.equal(summary, torch.zeros(AGENTS, ROWS, WIDTH))
    some = ALL & torch.tensor([False, True, True])[:, None]
    memory(noise() * some[..., None], some).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in memory.parameters())


def test_attention_looks_at_every_frame_that_exists():
    memory, frames = attention(), noise()
    before = memory(frames, ALL)
    for position in range(HISTORY):
        changed = frames.clone()
        changed[:, :, position] += 1
        assert not torch.allclose(memory(changed, ALL), before, atol=1e-4), position


def test_attention_tells_the_order_of_frames():
    memory, frames = attention(), noise()
    assert not torch.allclose(memory(frames.flip(2), ALL), memory(frames, ALL), atol=1e-4)


def test_sinusoids_equal_the_formula():
    table = sinusoids(5, 6)
    for position in range(5):
        for i in range(3):
            angle = position / 10_000 ** (2 * i / 6)
            assert table[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)
    assert sinusoids(3, 5).shape == (3, 5)


def test_frames_are_joined_and_no_memory_is_empty():
    frames = noise()
    assert torch.equal(FramesMemory(20)(frames, ALL), frames.reshape(AGENTS, ROWS, 20))
    assert NoMemory()(frames[:, :, :0], ALL[:, :0]).shape == (AGENTS, ROWS, 0)


@pytest.mark.parametrize(
    ("memory", "frames", "kind", "width"),
    [
        ("frames", 3, FramesMemory, 15),
        ("attention", 3, AttentionMemory, 7),
        ("none", 3, NoMemory, 0),
        ("attention", 0, NoMemory, 0),
        ("gru", 3, GruMemory, 7),
    ],
)
def test_build_gives_what_the_config_names(memory, frames, kind, width):
    config = ActorConfig(memory=memory, frames=frames, memory_width=7)
    built = build(config, AGENTS, FRAME, torch.Generator())
    assert isinstance(built, kind)
    assert built.width == width


@pytest.mark.parametrize("absent", [0, 1, HISTORY])
def test_the_gru_equals_torchs_own_over_the_frames_that_exist(absent):
    memory = GruMemory(AGENTS, FRAME, WIDTH, torch.Generator().manual_seed(0))
    frames = noise()
    frames[:, :, :absent] = 0
    frames[:, :, -1:] = 0 if absent < HISTORY else frames[:, :, -1:]  # at rest: zeros that exist
    found = memory(frames, all_but(absent))
    for agent in range(AGENTS):
        cell = torch.nn.GRUCell(FRAME, WIDTH)
        own = {
            "weight_ih": memory.inputs.weight[agent].T,
            "weight_hh": memory.hidden.weight[agent].T,
            "bias_ih": memory.inputs.bias[agent, 0],
            "bias_hh": memory.hidden.bias[agent, 0],
        }
        cell.load_state_dict(own)
        state = torch.zeros(ROWS, WIDTH)
        for step in range(absent, HISTORY):
            state = cell(frames[agent, :, step], state)
        torch.testing.assert_close(found[agent], state)
    assert found.any() == (absent < HISTORY)
