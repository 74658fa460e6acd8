"""An export played beside torch: the same episodes, each side with its own memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from moma.export.agent import AgentPolicy
from moma_core import seeds
from moma_core.datasets import Dataset
from moma_core.nets.history import Ring
from moma_core.nets.policy import Actors
from moma_core.types import History

EPISODES = 100
"""Episodes that are played."""
LIMIT = 1e-5
"""Largest difference of an export that is let go, in units of max(1, the number itself)."""
_EXAMPLE = 5
"""Steps of the example in a contract."""


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """Joint states that observations are made from."""

    states: Float32[Tensor, "T B S"]
    source: str
    """Origin of the states, in words."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """What came of playing one agent's export beside torch."""

    difference: float
    steps: int
    example: dict[str, list[list[float]]]
    """First observations of an episode and torch's actions there."""


def logged(dataset: Dataset) -> Episodes:
    """Returns episodes of a log, spread over it; a short one goes on in its last state."""
    chosen = np.linspace(0, dataset.episodes - 1, EPISODES).astype(int)
    steps = min(int(dataset.lengths[chosen].max()), dataset.spec.episode_limit)
    rows = []
    for number in chosen:
        state = np.asarray(dataset.episode(int(number))[0][:steps])
        rows.append(np.concatenate([state, np.repeat(state[-1:], steps - len(state), axis=0)]))
    states = torch.from_numpy(np.stack(rows, axis=1))
    return Episodes(states=states, source=f"{EPISODES} episodes of the log")


def drawn(actors: Actors, seed: int) -> Episodes:
    """Returns states drawn from the normaliser's mean and deviation, for when there is no log."""
    spec = actors.spec
    mean, std = torch.zeros(2, spec.state_width)
    for agent, index in enumerate(spec.observation_index):
        mean[list(index)] = actors.observation_mean[agent, : len(index)]
        std[list(index)] = actors.observation_std[agent, : len(index)]
    shape = (spec.episode_limit, EPISODES, spec.state_width)
    noise = torch.randn(shape, generator=seeds.generator(seed, "parity"))
    source = f"{EPISODES} episodes drawn from the normaliser's mean and deviation"
    return Episodes(states=mean + std * noise, source=source)


def compare(
    actors: Actors, policies: Sequence[AgentPolicy], files: Sequence[Path], episodes: Episodes
) -> list[Parity]:
    """Plays all agents' exports beside the team in torch.

    Args:
        actors: the team.
        policies: every agent's policy, for its shapes.
        files: every agent's ONNX file.
        episodes: what is observed.

    Returns:
        What came of it, agent by agent.
    """
    spec = actors.spec
    observed = spec.observe(episodes.states)
    team = _team(actors, observed)
    return [
        _one(policy, file, _raw(policy, observed[:, :, k]), [t[:, :, k] for t in team])
        for k, (policy, file) in enumerate(zip(policies, files, strict=True))
    ]


def _team(actors: Actors, observed: Float32[Tensor, "T B A O"]) -> list[Float32[Tensor, "T B A U"]]:
    """Returns actions, means or logits, and deviations of the team along the episodes."""
    spec, rows = actors.spec, observed.shape[1]
    begun = History.none(rows, len(spec.agents), actors.config.history, spec.frame_width)
    ring, found = Ring(begun), []
    with torch.no_grad():
        for raw in observed:
            seen = actors.observed(raw)
            given = actors(seen, ring.window)
            action = spec.clamp(given.mode())
            ring.push(seen, action)
            gaussian = getattr(given, "gaussian", given)
            mean = getattr(gaussian, "logits", gaussian.mean)
            spread = getattr(gaussian, "log_std", torch.zeros_like(mean)).exp()
            found.append((action, mean, spread))
    return [torch.stack(parts) for parts in zip(*found, strict=True)]


def _raw(policy: AgentPolicy, observed: Float32[Tensor, "T B O"]) -> NDArray[Any]:
    """Returns an agent's observations as whoever runs the export has them."""
    own = observed[..., : policy.observed]
    return (own if policy.offset is None else own.double() + policy.offset).numpy()


def _one(policy: AgentPolicy, file: Path, observed: NDArray[Any], team: Sequence[Tensor]) -> Parity:
    """Plays one agent's export over all episodes."""
    session = onnxruntime.InferenceSession(file)
    own = [part[..., : policy.acted].numpy() for part in team]
    steps, rows, _ = observed.shape
    memory = [np.zeros(policy.inputs.get("memory", (0,)), np.float32)] * rows
    worst = 0.0
    for step in range(steps):
        for row in range(rows):
            given = {"observation": observed[step, row]}
            if policy.history:
                given["memory"] = memory[row]
            action, *told = session.run(None, given)
            if policy.history:
                memory[row] = told.pop()
            expected = [part[step, row] for part in own]
            worst = max(worst, _apart(policy, action, told, expected))
    example = {
        "observations": observed[:_EXAMPLE, 0].tolist(),
        "actions": own[0][:_EXAMPLE, 0].tolist(),
    }
    return Parity(difference=worst, steps=steps * rows, example=example)


def _apart(
    policy: AgentPolicy,
    action: NDArray[np.float32],
    told: Sequence[NDArray[np.float32]],
    expected: Sequence[NDArray[np.float32]],
) -> float:
    """Returns the largest difference of one step.

    A choice counts by what its logit lacks to the best one: of equals either may be taken.
    """
    wanted, centre, spread = expected
    if policy.chooses:
        pairs = [(told[0], centre), (centre[action.argmax()], centre.max())]
    else:
        pairs = [(action, wanted), (told[0], centre), (told[1], spread)]
    return max(float(np.max(np.abs(a - b) / np.maximum(1, np.abs(b)))) for a, b in pairs)
