"""What a rollout's end is worth to the update: at an episode's limit, and where the log ends."""

from dataclasses import replace

import pytest
import torch

from learner.algorithms.moma_ppo import batch
from moma_core.config import PPOConfig
from tests.builders import SPEC, make_config, make_ppo, make_trajectory

LIMIT = SPEC.episode_limit
ROWS, STEPS = 6, 4
FLOOR = -torch.arange(LIMIT + 1).float().flip(0) - 5
ENDS = (  # per rollout its age at the start, its steps, and how it ends
    (0, 4, "horizon"),
    (LIMIT - 4, 4, "limit"),
    (LIMIT - 2, 2, "limit"),
    (2, 3, "unsure"),
    (LIMIT - 1, 1, "unsure"),
    (1, 2, "terminated"),
)


def learner(limit="ends", unsure="floor"):
    chosen = PPOConfig(limit=limit, unsure=unsure, minibatch=8, value_width=8, value_depth=1)
    return make_ppo(make_config(ppo=chosen)), chosen


def segment():
    """One segment with all the ends, its rewards noise."""
    config = make_config()
    terminated, truncated, unsure, valid = torch.zeros(4, STEPS, ROWS, dtype=torch.bool)
    for row, (_, steps, end) in enumerate(ENDS):
        valid[:steps, row] = True
        terminated[steps - 1, row] = end == "terminated"
        truncated[steps - 1, row] = end != "terminated"
        unsure[steps - 1, row] = end == "unsure"
    age = torch.tensor([begun for begun, _, _ in ENDS])
    return make_trajectory(
        config, seed=3, age=age, terminated=terminated, truncated=truncated, unsure=unsure,
        valid=valid,
    )  # fmt: skip


def slow(made, learned, config, floor):
    """Returns of every step of every rollout by the definition, one after the other."""
    found = []
    with torch.no_grad():
        for row, (begun, steps, end) in enumerate(ENDS):
            ages = begun + torch.arange(steps + 1)
            value = learned.critic(made.state[: steps + 1, row], ages).tolist()
            after = value[steps]
            if end == "terminated" or (config.limit == "ends" and begun + steps == LIMIT):
                after = 0.0
            if end == "unsure" and floor is not None:
                after = float(floor[begun + steps])
            advantage = 0.0
            for step in reversed(range(steps)):
                following = after if step == steps - 1 else value[step + 1]
                delta = made.reward[step, row] + config.discount * following - value[step]
                advantage = float(delta + config.discount * config.gae_lambda * advantage)
                found.append((row, step, advantage + value[step]))
    return [total for *_, total in sorted(found, key=lambda x: (x[1], x[0]))]


def prepared(learned, config, floor):
    made = segment()
    rows = batch.prepare(
        made, SPEC, learned.actors, learned.critic, learned.scale, config, floor
    )  # fmt: skip
    return made, rows


@pytest.mark.parametrize("limit", ["ends", "bootstraps"])
@pytest.mark.parametrize("floor", [None, FLOOR], ids=["bootstraps", "floor"])
def test_returns_equal_a_slow_loop_over_rollouts(limit, floor):
    learned, config = learner(limit)
    made, rows = prepared(learned, config, floor)
    expected = torch.tensor(slow(made, learned, config, floor))
    torch.testing.assert_close(rows.returns, expected, rtol=1e-4, atol=1e-4)
    # Negative controls: the other end at the limit, and the other worth of what is unknown.
    other = replace(config, limit="bootstraps" if limit == "ends" else "ends")
    elsewhere = torch.tensor(slow(made, learned, other, floor))
    assert not torch.allclose(rows.returns, elsewhere, atol=1e-3)
    elsewhere = torch.tensor(slow(made, learned, config, FLOOR if floor is None else None))
    assert not torch.allclose(rows.returns, elsewhere, atol=1e-3)


def test_every_row_has_the_age_of_its_own_step():
    learned, config = learner()
    made, rows = prepared(learned, config, FLOOR)
    ages = made.age + torch.arange(STEPS)[:, None]
    assert torch.equal(rows.age, ages[made.valid])
    assert rows.age.max() == LIMIT - 1
    # A row takes its age along when rows are shuffled.
    order = torch.randperm(len(rows.age), generator=torch.Generator().manual_seed(0))
    assert torch.equal(rows.take(order).age, rows.age[order])


def test_the_critic_sees_the_age_where_the_limit_ends_an_episode_and_nowhere_else():
    state = torch.randn(1, SPEC.state_width).expand(LIMIT, -1)
    with torch.no_grad():
        seen = learner("ends")[0].critic(state, torch.arange(LIMIT))
        blind = learner("bootstraps")[0].critic(state, torch.arange(LIMIT))
    assert len(seen.unique()) == LIMIT
    assert torch.equal(blind, blind[:1].expand(LIMIT))
