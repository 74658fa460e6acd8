"""What whoever runs an exported policy has to keep to: `policy_contract.json`."""

from __future__ import annotations

from typing import Any

from moma.export.agent import AgentPolicy
from moma.export.parity import Parity
from moma.export.standing import Standing
from moma_core.runtime.subject import Subject
from moma_core.types import TaskSpec

SCHEMA = "moma-policy-1"
_RESET = "all zeros at the start of every episode"
_KEPT = (
    "give next_memory as memory in the next step; its last row is 1, observation, action: where "
    "another action was executed than the one that came out, write that one there"
)


def contract(
    about: Subject, agent: int, policy: AgentPolicy, standing: Standing, parity: Parity
) -> dict[str, Any]:
    """Returns the contract of one agent's policy, as JSON has it.

    Args:
        about: whose team it is, and what is known of its log.
        agent: which of it.
        policy: its policy, for the shapes.
        standing: what is known of it.
        parity: what came of playing it beside torch.
    """
    spec = about.team
    mean = policy.actors.observation_mean[0, : policy.observed].double()
    if policy.offset is not None:
        mean = mean + policy.offset
    inputs: dict[str, Any] = {
        name: {"shape": shape, "dtype": policy.kind(name)} for name, shape in policy.inputs.items()
    }
    names = [spec.state_names[i] for i in spec.observation_index[agent]]
    inputs["observation"] |= {
        "names": names,
        "units": "the log's, as they are: the normaliser is inside",
        "mean": mean.tolist(),
        "std": policy.actors.observation_std[0, : policy.observed].tolist(),
    }
    if policy.history:
        inputs["memory"] |= {"reset": _RESET, "next": _KEPT}
    return {
        "schema": SCHEMA,
        "team": spec.name,
        "agent": spec.agents[agent],
        "agents": spec.agents,
        "judgement": standing.judgement,
        "reasons": standing.reasons,
        "trusted": standing.trusted,
        "inputs": inputs,
        "outputs": {
            name: {"shape": shape, "dtype": "float32"} for name, shape in policy.outputs.items()
        },
        "action": _action(spec, agent, policy),
        "rate": _rate(about.seconds_per_step),
        "episode_limit": spec.episode_limit,
        "reset": _RESET if policy.history else "nothing to reset: it has no memory",
        "parity": {"largest_difference": parity.difference, "steps": parity.steps},
        "example": parity.example,
    }


def _rate(seconds: float | None) -> dict[str, Any]:
    """Returns how often the policy is to be called."""
    unknown = "the log does not say how long one took"
    known = f"one took {seconds} s there (median of its time stamps)"
    return {
        "steps_per_call": 1,
        "seconds_per_step": seconds,
        "note": f"call it as often as the log has steps; {unknown if seconds is None else known}",
    }


def _action(spec: TaskSpec, agent: int, policy: AgentPolicy) -> dict[str, Any]:
    """Returns what an action means."""
    what = "one-hot choice" if policy.chooses else "continuous"
    return {
        "kind": what,
        "names": [f"{spec.agents[agent]}.action_{i}" for i in range(policy.acted)],
        "low": spec.action_low[agent],
        "high": spec.action_high[agent],
        "units": "the log's; clipped to the bounds",
        "mask": [True] * policy.acted,
        "mask_note": "the log tells no action that is forbidden in some states",
    }
