"""Losses of methods without a model, each beside a slow transcription of its paper's formula."""

import math

import pytest
import torch

from learner.algorithms import cql, deterministic, iql, offline, omar, td3_bc
from learner.algorithms.values import Values
from moma_core.config import ActorConfig, OfflineConfig
from moma_core.types import History
from tests.builders import SPEC

N, A, U, M = 5, 2, 2, 4
MASK = SPEC.action_mask


@pytest.fixture
def draw():
    """Makes the same normal numbers every time."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(shape, generator=generator)


def test_expectile_loss_is_equation_5(draw):
    difference = draw(N, A)
    expected = 0.0
    for agent in range(A):
        of_agent = 0.0
        for u in difference[:, agent].tolist():
            of_agent += abs(0.7 - (1.0 if u < 0 else 0.0)) * u**2
        expected += of_agent / N
    assert float(iql.expectile_loss(difference, 0.7)) == pytest.approx(expected, rel=1e-5)


def test_the_expectile_of_a_sample_minimises_it():
    sample = torch.tensor([[0.0], [1.0]])
    # Of 0 and 1 the 0.7 expectile is 0.7: 0.3 * 0.7 = 0.7 * 0.3.
    losses = [float(iql.expectile_loss(sample - v, 0.7)) for v in (0.6, 0.7, 0.8)]
    assert min(losses) == losses[1]


def test_weights_are_equation_7_up_to_a_limit(draw):
    advantage = draw(N, 1)
    found = iql.weights(advantage, 3.0, 2.0)
    for row in range(N):
        assert float(found[row]) == pytest.approx(
            min(math.exp(3.0 * float(advantage[row])), 2.0), rel=1e-5
        )
    assert float(found.max()) == 2.0


@pytest.mark.parametrize("groups", [1, A])
def test_imitation_weighs_every_agents_or_the_teams_likelihood(draw, groups):
    log_prob, weight = draw(N, A), draw(N, groups).abs()
    expected = 0.0
    for row in range(N):
        for agent in range(A):
            expected -= float(weight[row, agent % groups] * log_prob[row, agent]) / N
    assert float(iql.imitation_loss(log_prob, weight)) == pytest.approx(expected, rel=1e-5)


def test_a_target_is_the_reward_and_what_comes_next_unless_the_task_ended(draw):
    reward, value = draw(N), draw(N, A)
    goes_on = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0])
    history = History.none(N, A, 0, 5)
    rows = offline.Rows(
        observed=draw(N, A, 3), remembered=history, action=draw(N, A, U), reward=reward,
        goes_on=goes_on, next_observed=draw(N, A, 3), next_remembered=history,
    )  # fmt: skip
    target = offline.td_target(rows, value, 0.9)
    for row in range(N):
        for agent in range(A):
            later = 0.0 if row in (1, 3) else 0.9 * float(value[row, agent])
            assert float(target[row, agent]) == pytest.approx(float(reward[row]) + later, rel=1e-5)


def test_ascent_is_in_units_of_the_mean_absolute_value(draw):
    value = draw(N, A).requires_grad_()
    expected = 0.0
    for agent in range(A):
        own = value[:, agent].tolist()
        expected -= 2.5 / (sum(map(abs, own)) / N) * sum(own) / N
    loss = td3_bc.ascent_loss(value, value.detach().abs().mean(0), 2.5)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    # The unit is no way to lower the loss: every row's gradient is alike.
    (gradient,) = torch.autograd.grad(loss, value)
    assert torch.allclose(gradient, gradient[:1].expand(N, A))


def test_distance_is_over_an_agents_own_dimensions(draw):
    mean, logged = draw(N, A, U), draw(N, A, U)
    found = td3_bc.distance(mean, logged, MASK)
    for row in range(N):
        for agent, width in enumerate((2, 1)):
            gap = [float(mean[row, agent, u] - logged[row, agent, u]) ** 2 for u in range(width)]
            assert float(found[row, agent]) == pytest.approx(sum(gap) / width, rel=1e-5)


def test_alone_an_agent_departs_from_what_the_others_did(draw):
    action, logged = draw(N, A, U), draw(N, A, U)
    found = td3_bc.alone(action, logged)
    for agent in range(A):
        for other in range(A):
            source = action if other == agent else logged
            assert torch.equal(found[agent, :, other], source[:, other])


def test_conservative_is_equation_4(draw):
    other, logged = draw(2, M, N, A), draw(2, N, A)
    found = cql.conservative(other, logged, 0.5)
    for copy in range(2):
        for agent in range(A):
            total = 0.0
            for row in range(N):
                values = other[copy, :, row, agent].tolist()
                highest = 0.5 * math.log(sum(math.exp(v / 0.5) for v in values))
                total += highest - float(logged[copy, row, agent])
            assert float(found[copy, agent]) == pytest.approx(total / N, rel=1e-4)


def test_expected_loss_counts_an_agents_own_choices(draw):
    share, value = draw(N, A, U).softmax(-1), draw(U, N, A)
    expected = 0.0
    for row in range(N):
        for agent, width in enumerate((2, 1)):
            expected -= sum(
                float(share[row, agent, u] * value[u, row, agent]) for u in range(width)
            )
    found = cql.expected_loss(share, value, MASK)
    assert float(found) == pytest.approx(expected / N, rel=1e-4)


def test_the_search_keeps_the_best_action_of_each_row_and_agent(draw):
    best, worth, tried, value = draw(N, A, U), draw(N, A), draw(M, N, A, U), draw(M, N, A)
    action, reached = omar.better(best, worth, tried, value)
    for row in range(N):
        for agent in range(A):
            every = [(float(worth[row, agent]), best[row, agent])]
            every += [(float(value[m, row, agent]), tried[m, row, agent]) for m in range(M)]
            top, expected = max(every, key=lambda pair: pair[0])
            assert float(reached[row, agent]) == top
            assert torch.equal(action[row, agent], expected)
    index = value.topk(2, dim=0).indices
    assert torch.equal(omar.chosen(tried, index)[1, 3, 1], tried[int(index[1, 3, 1]), 3, 1])


def test_means_beyond_the_bounds_are_pulled_back_by_their_squared_distance():
    mean = torch.tensor([[[1.5, -0.5], [2.5, 9.0]]])  # bounds (-1, 1), (-1, 1); (-0.5, 2), padding
    assert float(deterministic.outside_loss(mean, SPEC, MASK)) == pytest.approx(0.25 + 0.25)
    assert torch.equal(deterministic.half_widths(SPEC), torch.tensor([[1.0, 1.0], [1.25, 0.0]]))


@pytest.mark.parametrize("team", [False, True])
def test_a_value_sees_its_own_agent_or_all(draw, team):
    actor, config = ActorConfig(frames=2), OfflineConfig(width=8)
    values = Values(SPEC, actor, config, 0, copies=2, team=team, acts=True)
    history = History(frames=draw(N, A, 2, 5), exists=torch.ones(N, 2, dtype=torch.bool))
    observed, action = draw(N, A, 3), draw(M, N, A, U)
    with torch.no_grad():
        seen = values.seen(observed, history)
        several, one = values.of(seen, action), values.of(seen, action[2])
        changed = action[2].clone()
        changed[:, 1] += 1.0  # the second agent does something else
        other = values.of(seen, changed)
    assert several.shape == (2, M, N, 1 if team else A)
    assert torch.allclose(several[:, 2], one, atol=1e-6)
    assert not torch.allclose(other[..., -1], one[..., -1])
    if not team:
        assert torch.equal(other[..., 0], one[..., 0])
    assert not torch.allclose(one[0], one[1])  # two copies, two networks
