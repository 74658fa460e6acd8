"""Settings that a log asks for: one rule each, with its reason. Pure.

The anchor is Reacher's log, whose settings were found by measurement: 50,000 rows of ten features
in episodes of 50 steps come out at the config's defaults or near them. Smaller logs get less of
everything that takes time, larger ones more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from moma_core.config import Config

MANY = 1000
"""Number from which on different states or rewards are not counted any further."""
_WHOLE = 100
"""Longest episode that is imagined whole."""
_PART = 50
"""Steps of a rollout where episodes are longer."""
_ROUND_STEPS = 2560, 25_600
"""Steps of a round, at least and at most."""
_ROUNDS = 120
"""Rounds of a run at most: some games need them all, and most stop far sooner."""
_PLAYED = 20_000
"""Steps of the true environment that an evaluation at the end may take."""


@dataclass(frozen=True, kw_only=True)
class LogFacts:
    """What a log is like, as far as settings depend on it."""

    episodes: int
    transitions: int
    state_width: int
    """Features of the joint state, S."""
    observation_widths: tuple[int, ...]
    """Features that each agent observes."""
    action_widths: tuple[int, ...]
    """Dimensions of each agent's action, or its choices."""
    discrete: tuple[bool, ...]
    """Agents that choose, true per agent."""
    episode_limit: int
    """Steps after which an episode is over."""
    length_mean: float
    """Mean steps of an episode."""
    terminal_share: float
    """Share of the episodes that the task itself ended."""
    return_mean: float
    return_std: float
    return_best_tenth: float
    """Mean return of the best tenth of the episodes."""
    rewards: int
    """Number of different rewards; `MANY` stands for that or more."""
    states: int
    """Number of different joint states; `MANY` stands for that or more."""
    all_seen: bool
    """Agreement of views: what each agent observes gives the whole joint state."""
    forgets: bool
    """Loss of information: a feature tells episodes apart at their start and later does not."""

    @property
    def inputs(self) -> int:
        """Features of a joint state and a joint action."""
        return self.state_width + sum(self.action_widths)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One setting that a log asks for."""

    field: str
    """Name of the setting, as on the command line: `model.width`."""
    value: bool | int | float | str
    reason: str
    """Sentence that says why."""


def settings(facts: LogFacts) -> list[Choice]:
    """Returns the settings for a log; what is not among them stays at its default."""
    width, horizon = _model_width(facts), _horizon(facts)
    steps = _rows(horizon) * horizon
    return [
        *_model(facts, width),
        *_rollout(facts, horizon),
        *_memory(facts),
        *_networks(width),
        *_update(facts, steps),
        *_cloning(facts),
        *_evaluation(facts),
    ]


def applied(config: Config, choices: Sequence[Choice]) -> Config:
    """Returns the config with the choices in it."""
    for choice in choices:
        section, name = choice.field.split(".")
        part: Any = replace(getattr(config, section), **{name: choice.value})
        config = replace(config, **{section: part})
    return config


def overridden(config: Config, choice: Choice) -> Any | None:  # noqa: ANN401 - a setting's value
    """Returns what a config has in a choice's place; None where it has the choice."""
    found = attrgetter(choice.field)(config)
    return None if found == choice.value else found


def _model_width(facts: LogFacts) -> int:
    """Returns the model's hidden width: a power of two from 64 to 512."""
    if facts.states < MANY:
        return 64
    by_rows = _step(facts.transitions, {0: 64, 5_000: 128, 20_000: 256, 500_000: 512})
    by_inputs = _step(facts.inputs, {0: 64, 24: 128, 48: 256, 128: 512})
    return max(by_rows, by_inputs)


def _model(facts: LogFacts, width: int) -> Iterator[Choice]:
    rows, few = facts.transitions, facts.states < MANY
    large = rows >= 20_000 and not few
    amount = f"{rows:,} rows of {facts.inputs} features" + (
        f", {facts.states} different states" if few else ""
    )
    yield Choice(
        field="model.width",
        value=width,
        reason=amount,
    )
    yield Choice(
        field="model.depth",
        value=3 if large else 2,
        reason="rows enough for a deep network"
        if large
        else "few rows or states: a shallow network",
    )
    updates = _step(rows, {0: 1000, 10_000: 1500, 20_000: 2500, 500_000: 5000})
    if few:
        updates = 1000
    yield Choice(
        field="model.updates",
        value=updates,
        reason="at most: fitting stops where held-out episodes do not improve",
    )
    yield Choice(
        field="model.evaluate_every",
        value=max(updates // 12, 1) // 10 * 10,
        reason="a twelfth of the updates, so that an early stop saves most",
    )
    yield Choice(
        field="model.batch",
        value=_step(rows, {0: 128, 2_000: 256, 500_000: 512}),
        reason="large enough for a steady step, small against the log",
    )


def _horizon(facts: LogFacts) -> int:
    return facts.episode_limit if facts.episode_limit <= _WHOLE else _PART


def _rows(horizon: int) -> int:
    """Returns the rollouts of a round: 512, fewer of long ones, more of short ones; even."""
    least, most = _ROUND_STEPS
    return 2 * max(min(256, most // 2 // horizon), -(-least // 2 // horizon))


def _rollout(facts: LogFacts, horizon: int) -> Iterator[Choice]:
    limit, whole = facts.episode_limit, facts.episode_limit <= _WHOLE
    yield Choice(
        field="rollout.horizon",
        value=horizon,
        reason=f"whole episodes, {limit} steps"
        if whole
        else f"a part of the {limit} steps: errors of the model add up",
    )
    yield Choice(
        field="rollout.carry",
        value=not whole,
        reason="rollouts end where episodes do"
        if whole
        else "the next round goes on where the horizon cut, to the episode's limit",
    )
    yield Choice(
        field="rollout.rows",
        value=_rows(horizon),
        reason=f"{_rows(horizon) * horizon:,} steps a round: enough to tell good from bad",
    )
    yield Choice(
        field="rollout.episode_starts",
        value=1.0 if limit == 1 else 0.5,
        reason="every row begins an episode"
        if limit == 1
        else "half where the return counts from, half anywhere in the log",
    )


def _memory(facts: LogFacts) -> Iterator[Choice]:
    limit = facts.episode_limit
    if limit == 1:
        yield Choice(field="actor.memory", value="none", reason="one step: nothing came before")
        return
    if facts.all_seen and not facts.forgets:
        yield Choice(
            field="actor.memory",
            value="none",
            reason="each agent sees the whole joint state, and none of it is lost later",
        )
        return
    yield Choice(
        field="actor.memory",
        value="frames",
        reason="what an episode showed at its start is not seen later"
        if facts.all_seen
        else "some agent does not see the whole joint state",
    )
    yield Choice(
        field="actor.frames",
        value=min(10, limit - 1),
        reason="ten frames, or all that can have been before the last step",
    )


def _networks(width: int) -> Iterator[Choice]:
    half = min(128, width // 2)
    yield Choice(field="actor.width", value=half, reason="half of the model's, up to 128")
    yield Choice(field="ppo.value_width", value=half, reason="as wide as the policies")


def _update(facts: LogFacts, steps: int) -> Iterator[Choice]:
    limit = facts.episode_limit
    discount = 1.0 if limit == 1 else min(0.99, max(0.97, 1 - 1.5 / limit))
    yield Choice(
        field="ppo.discount",
        value=discount,
        reason="one step: nothing comes later to discount"
        if limit == 1
        else f"{limit} steps an episode: a reward {1 / (1 - discount):.0f} steps on counts a third",
    )
    yield Choice(
        field="ppo.minibatch",
        value=min(2560, max(512, steps // 8)),
        reason=f"an eighth of a round's {steps:,} steps, from 512 to 2,560",
    )
    yield Choice(
        field="ppo.rounds",
        value=_ROUNDS,
        reason="at most: training stops where the imagined return stops rising",
    )
    yield Choice(
        field="ppo.patience",
        value=_step(steps, {0: 12, 5_000: 16, 10_000: 24}),
        reason="rounds without a rise beyond chance",
    )


def _cloning(facts: LogFacts) -> Iterator[Choice]:
    rows = facts.transitions
    minibatch = _step(rows, {0: 256, 5_000: 512})
    yield Choice(
        field="bc.minibatch", value=minibatch, reason="large enough for a steady step, by the rows"
    )
    yield Choice(
        field="bc.updates",
        value=_step(rows, {0: 20, 2_000: 40, 5_000: 60, 20_000: 100}),
        reason="two to six passes over the log between two looks at held-out episodes",
    )
    yield Choice(
        field="bc.rounds",
        value=_step(rows, {0: 50, 5_000: 100}),
        reason="at most: cloning stops where held-out episodes do not improve",
    )


def _evaluation(facts: LogFacts) -> Iterator[Choice]:
    limit = facts.episode_limit
    yield Choice(
        field="eval.every",
        value=_ROUNDS // 6,
        reason="six looks while training, where there is an environment",
    )
    yield Choice(
        field="eval.episodes",
        value=max(5, min(20, _PLAYED // (5 * limit))),
        reason=f"20 episodes, fewer of long ones: {limit} steps each",
    )
    yield Choice(
        field="eval.final_episodes",
        value=max(20, min(100, _PLAYED // limit)),
        reason=f"100 episodes, fewer of long ones: {limit} steps each",
    )


def _step(size: int, values: dict[int, int]) -> int:
    """Returns the value of the last threshold that a size reaches; thresholds ascend from 0."""
    return [value for threshold, value in values.items() if size >= threshold][-1]
