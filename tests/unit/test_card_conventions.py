"""Several conventions are found where there are some, and nowhere else."""

import numpy as np
import pytest

from moma.log_tools.conventions import looks
from moma_core.datasets import Dataset, EpisodeWriter
from tests.unit.teams import choices, network, seen, task

SEEDS = range(3)
ROWS = 160


@pytest.fixture(params=SEEDS)
def random(request):
    return np.random.default_rng(request.param)


def nowhere(rows, features=2):
    """One situation for all rows."""
    return np.zeros((rows, features))


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.8, 0.2), (0.5, 0.3, 0.2)])
def test_a_game_of_all_0_and_all_1_holds_several_conventions(random, shares):
    found = seen(nowhere(ROWS), choices(random, ROWS, shares, 0.1, 3), discrete=True)
    assert found.verdict == "several", found.reason
    assert found.alike == 0


def test_one_convention_with_noise_is_not_several(random):
    assert (
        seen(nowhere(ROWS), choices(random, ROWS, (1.0, 0), 0.2), discrete=True).verdict == "none"
    )


def test_agents_that_choose_by_themselves_are_not_several(random):
    alone = np.eye(3)[random.choice(3, (ROWS, 3), p=(0.6, 0.3, 0.1))]
    assert seen(nowhere(ROWS), alone, discrete=True).verdict == "none"
    uniform = random.uniform(-1, 1, (ROWS, 3, 2))
    assert seen(random.normal(size=(ROWS, 2)) * 0.1, uniform).verdict == "none"


@pytest.mark.parametrize("sign", [1, -1])
def test_agreeing_on_a_sign_holds_several_conventions(random, sign):
    side = random.choice((-1, 1), ROWS)
    action = np.stack([side, sign * side], axis=1) * 0.7 + random.normal(0, 0.2, (ROWS, 2))
    assert seen(nowhere(ROWS), action.clip(-1, 1)[:, :, None]).verdict == "several"


def test_what_goes_with_what_may_depend_on_the_situation(random):
    state = random.uniform(-1, 1, (ROWS, 2))
    side = random.choice((-1, 1), ROWS)
    action = np.stack([side, side * np.sign(state[:, 0])], axis=1) * 0.7
    action = action + random.normal(0, 0.1, action.shape)
    assert abs(np.corrcoef(action.T)[0, 1]) < 0.3
    assert seen(state, action.clip(-1, 1)[:, :, None], scale=0.6).verdict == "several"


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_one_expert_whose_agents_do_alike_is_not_several(random, noise):
    state = random.normal(0, 0.3, (ROWS, 6))
    mean = network(5, 6, 2)(state)[:, None].repeat(2, axis=1)
    action = (mean + random.normal(0, noise, mean.shape)).clip(-1, 1)
    assert np.corrcoef(action[:, 0, 0], action[:, 1, 0])[0, 1] > 0.3
    assert seen(state, action).verdict == "none"


def test_two_experts_taking_turns_are_several(random):
    state, expert = random.normal(0, 0.2, (ROWS, 4)), random.integers(2, size=ROWS)
    both = np.stack([network(seed, 4, 4)(state) for seed in (1, 2)])
    action = both[expert, np.arange(ROWS)].reshape(ROWS, 2, 2) + random.normal(0, 0.1, (ROWS, 2, 2))
    assert seen(state, action.clip(-1, 1)).verdict == "several"


def test_experts_that_agents_choose_each_by_itself_are_not_several(random):
    state, expert = random.normal(0, 0.2, (ROWS, 4)), random.integers(2, size=(ROWS, 2))
    both = np.stack([network(seed, 4, 4)(state) for seed in (1, 2)]).reshape(2, ROWS, 2, 2)
    action = both[expert, np.arange(ROWS)[:, None], np.arange(2)]
    action = (action + random.normal(0, 0.1, action.shape)).clip(-1, 1)
    assert seen(state, action).verdict == "none"


def test_noise_that_is_large_for_all_in_some_episodes_is_not_several(random):
    level = random.choice((0.05, 0.5), (ROWS, 1, 1))
    action = (level * random.normal(size=(ROWS, 2, 2))).clip(-1, 1)
    assert seen(random.normal(size=(ROWS, 2)) * 0.1, action).verdict == "none"


def test_where_no_two_situations_are_alike_nothing_is_said(random):
    state = random.normal(size=(ROWS, 30))
    action = network(5, 30, 2)(state)[:, None].repeat(2, axis=1)
    found = seen(state, action)
    assert found.verdict == "unclear"
    assert "alike enough" in found.reason
    assert found.dependence.p_value[0, 1] < 0.01  # what would be said without that defence


def test_what_the_situation_explains_is_no_convention(random):
    state = random.uniform(-1, 1, (ROWS, 2))
    action = network(5, 2, 2)(state)[:, None].repeat(2, axis=1)
    found = seen(state, action, scale=0.6)
    assert found.verdict == "none"
    assert "explains" in found.reason
    assert found.dependence.strength[0, 1] > 0.9  # what would be said without that defence


def test_only_the_agents_that_choose_together_are_named():
    random = np.random.default_rng(0)
    action = random.uniform(-1, 1, (ROWS, 4, 1))
    action[:, 3] = 0.8 * action[:, 1] + 0.2 * action[:, 3]
    found = seen(nowhere(ROWS), action)
    assert found.verdict == "several"
    assert found.pair == (1, 3)
    assert "agent_1 and agent_3 settle" in found.reason


def log(path, states, actions):
    """Writes a log, `[K T+1 S]` and `[K T A U]`."""
    spec = task(actions.shape[2], actions.shape[3], state=states.shape[2])
    with EpisodeWriter(spec, path, {}) as writer:
        for state, action in zip(np.float32(states), np.float32(actions), strict=True):
            writer.add(state, action, np.zeros(len(action), np.float32), terminated=False)
    return Dataset.load(path)


def test_both_looks_are_taken_where_the_convention_shows_in_the_state_later(tmp_path):
    random = np.random.default_rng(0)
    side = random.choice((-1, 1), 60)[:, None, None]
    action = (0.7 * side + random.normal(0, 0.2, (60, 4, 2))).clip(-1, 1)[..., None]
    state = np.concatenate([np.zeros((60, 1, 1)), np.repeat(side, 4, axis=1)], axis=1)
    data = log(tmp_path / "log", state, action)
    first, later = looks(data, state.reshape(-1, 1).std(axis=0))
    assert (first.rows.where, first.verdict) == ("first step", "several")
    assert (later.rows.where, later.verdict) == ("later step", "none")
    np.testing.assert_array_equal(first.rows.state, 0)
    assert (later.rows.state != 0).all()


def test_few_episodes_and_single_agents_are_not_looked_at(tmp_path):
    random = np.random.default_rng(0)
    few, alone = random.uniform(-1, 1, (39, 2, 2, 1)), random.uniform(-1, 1, (60, 2, 1, 1))
    scale = np.ones(1)
    assert looks(log(tmp_path / "few", np.zeros((39, 3, 1)), few), scale) == []
    assert looks(log(tmp_path / "alone", np.zeros((60, 3, 1)), alone), scale) == []
    one_step = random.uniform(-1, 1, (60, 1, 2, 1))
    (only,) = looks(log(tmp_path / "short", np.zeros((60, 2, 1)), one_step), scale)
    assert only.rows.where == "first step"


def test_large_logs_and_large_teams_are_looked_at_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr("moma.log_tools.conventions.EPISODES", 60)
    random = np.random.default_rng(0)
    for agents, rows in ((2, 60), (11, 43)):
        action = random.uniform(-1, 1, (70, 1, agents, 1))
        (found,) = looks(log(tmp_path / f"{agents}", np.zeros((70, 2, 1)), action), np.ones(1))
        assert len(found.rows.state) == rows
        assert len(np.unique(found.rows.action[:, 0])) == rows
