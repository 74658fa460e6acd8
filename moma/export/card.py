"""The model card of an export, in the layout of LeRobot's policies: `README.md.j2` says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moma.export.agent import AgentPolicy
from moma.export.standing import Standing
from moma.reports.templates import environment
from moma_core.runtime.subject import Subject
from moma_core.types import TaskSpec

_METHODS = {
    "moma_ppo": (
        "MOMA-PPO ([arXiv 2305.17198](https://arxiv.org/abs/2305.17198)): an ensemble learned the "
        "team's dynamics from the log; the agents began as clones of the log's and interacted "
        "inside of the ensemble, by on-policy PPO."
    ),
    "bc": "Behaviour cloning of the log, without a model and without trying anything.",
}


@dataclass(frozen=True, kw_only=True)
class About:
    """What a card is about."""

    run: str
    policy: str
    subject: Subject
    standing: Standing
    algorithm: str
    """Name of the algorithm that learned the policy."""
    source: str
    """Episodes that were played beside torch, in words."""


def card(about: About, agents: Sequence[Mapping[str, str]], difference: float) -> str:
    """Returns the card as Markdown.

    Args:
        about: what it is about.
        agents: those that it is about, as `agent_row` gives them.
        difference: the largest one to torch.
    """
    spec = about.subject.team
    who = agents[0]["name"] if len(agents) < len(spec.agents) else spec.name
    return (
        environment("moma.export", escape=False)
        .get_template("README.md.j2")
        .render(
            title=f"{who}, {about.policy} of {about.run}",
            policy=about.policy,
            run=about.run,
            about=about.subject,
            spec=spec,
            standing=about.standing,
            agents=agents,
            method=_METHODS.get(about.algorithm, f"Algorithm `{about.algorithm}` on the log."),
            difference=difference,
            source=about.source,
        )
    )


def agent_row(spec: TaskSpec, agent: int, folder: str, policy: AgentPolicy) -> dict[str, str]:
    """Returns an agent's line of a card.

    Args:
        spec: the team.
        agent: which of it.
        folder: the agent's folder.
        policy: the agent's policy.
    """
    return {
        "name": spec.agents[agent],
        "folder": folder,
        "sees": f"features: {policy.observed}",
        "does": f"one of {policy.acted}" if policy.chooses else f"numbers: {policy.acted}",
        "memory": f"{policy.history} steps" if policy.history else "none",
    }
