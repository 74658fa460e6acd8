"""Playing the policies in a system: mean actions, own memories, nothing counted after the end."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from moma.evaluation.imagined import Members, imagine
from moma.evaluation.intervals import over_members
from moma_core import pessimism, seeds, tasks
from moma_core.config import ActorConfig
from moma_core.datasets import StartSampler
from moma_core.datasets.floor import usual
from moma_core.nets.policy import Actors
from moma_core.tasks import Environment
from moma_core.tasks.play import evaluate
from moma_core.types import History
from tests.builders import FRAME, SPEC, FakeDynamics, make_query, make_starts, shift, step_system

COPIES, IMAGINED = 4, 24


class System:
    """The lopsided task's true system; copy b ends at step `ends[b]`."""

    def __init__(self, ends):
        self.ends, self.steps, self.actions = ends, 0, []

    def reset(self, seed):
        self.state = make_starts(COPIES, 0, seed).state
        self.first = self.state
        return self.state

    def step(self, action):
        self.steps += 1
        self.actions.append(action)
        rows = [step_system(s, a) for s, a in zip(self.state.numpy(), action.numpy(), strict=True)]
        self.state = torch.from_numpy(np.stack([after for after, _ in rows]))
        reward = torch.tensor([float(reward) for _, reward in rows])
        return self.state, reward, torch.tensor([self.steps >= end for end in self.ends])


def make_actors():
    actors = Actors(SPEC, ActorConfig(width=8, depth=1, frames=3), seed=2)
    with torch.no_grad():
        actors.head.weight.mul_(100)
    actors.standardise(torch.full((2, 3), 0.2), torch.full((2, 3), 1.3))
    return actors


def slow_return(actors, state, end):
    """One copy, one step after the other, the window kept in the data's own units."""
    total, window = 0.0, History.none(1, 2, 3, FRAME)
    for _ in range(min(end, SPEC.episode_limit)):
        seen = SPEC.observe(state[None])
        with torch.no_grad():
            mean = actors(actors.observed(seen), actors.remembered(window)).mean
        action = SPEC.clamp(mean)
        window = shift(window, seen, action)
        after, reward = step_system(state.numpy(), action[0].numpy())
        total, state = total + float(reward), torch.from_numpy(after)
    return total


def test_returns_equal_a_slow_loop_and_stop_at_each_copys_end():
    actors, system = make_actors(), System([1, 3, 8, 99])
    assert isinstance(system, Environment)
    returns = evaluate(actors, SPEC, system, seed=6)
    slow = [slow_return(actors, system.first[b], end) for b, end in enumerate(system.ends)]
    torch.testing.assert_close(returns, torch.tensor(slow), rtol=1e-4, atol=1e-4)
    assert system.steps == SPEC.episode_limit


def test_it_ends_early_where_all_copies_have_ended():
    system = System([2, 1, 2, 1])
    evaluate(make_actors(), SPEC, system, seed=6)
    assert system.steps == 2


def test_it_is_deterministic_and_depends_on_the_seed():
    first, again, other = (evaluate(make_actors(), SPEC, System([99] * 4), s) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_actions_are_within_the_bounds():
    actors, system = make_actors(), System([99] * 4)
    with torch.no_grad():
        actors.head.bias.add_(50)
    evaluate(actors, SPEC, system, seed=1)
    played = torch.stack(system.actions)
    assert torch.equal(played, SPEC.clamp(played))


def doubting(cut_above, edge="clamp"):
    """Where an episode of the model ends."""
    return partial(pessimism.truncate, limit=cut_above, edge=edge)


def imagined(dataset, cut_above, *, terminal_above=1e9, seed=1):
    """What a model of the data says of the actors, and the model after it."""
    system = FakeDynamics(terminal_above=terminal_above)
    doubt = doubting(cut_above)
    return imagine(system, dataset, make_actors(), doubt, IMAGINED, seed), system


def by_hand(dataset, cut_above, terminal_above, seed=1):
    """Returns and cuts of the same episodes, one copy after the other."""
    starts = (
        StartSampler(dataset, 0, 1.0).draw(seeds.rows(seeds.derive(seed, "starts"), IMAGINED)).state
    )
    draws = seeds.rows(seeds.derive(seed, "members"), IMAGINED)
    earned_after = usual(dataset, 1.0)
    actors, system, totals, cuts = make_actors(), FakeDynamics(), [], []
    for first, draw in zip(starts.split(1), draws.split(1), strict=True):
        state, total, window, cut = first, 0.0, History.none(1, 2, 3, FRAME), False
        for step in range(SPEC.episode_limit):
            seen = SPEC.observe(state)
            with torch.no_grad():
                action = SPEC.clamp(actors(actors.observed(seen), actors.remembered(window)).mode())
            window = shift(window, seen, action)
            said = system.predict(make_query(state=state, action=action, seed=draw))
            total, state = total + said.reward.item(), said.next_state
            ended = said.next_state[0, 0] > terminal_above
            cut = bool(said.disagreement > cut_above) and not ended
            if cut:
                total += float(earned_after[step + 1])
            if ended or cut:
                break
        totals.append(total)
        cuts.append(cut)
    member = seeds.choose(draws, len(system.describe().elites))
    return torch.tensor(totals), torch.tensor(cuts).float(), member


@pytest.mark.parametrize("cut_above", [0.35, 1e9])
@pytest.mark.parametrize("terminal_above", [0.45, 1e9])
def test_imagined_episodes_equal_a_slow_loop_ends_and_cuts_included(
    dataset, cut_above, terminal_above
):
    found, _ = imagined(dataset, cut_above, terminal_above=terminal_above)
    slow, cuts, member = by_hand(dataset, cut_above, terminal_above)
    assert found.return_mean == pytest.approx(float(slow.mean()), abs=1e-4)
    assert found.cut_share == pytest.approx(float(cuts.mean()))
    assert (found.cut_share > 0) == (cut_above < 1)
    assert (found.outside_share, found.outside) == (0.0, {})
    means = np.array([float(slow[member == m].mean()) for m in range(3)])
    expected = over_members(means, slow.numpy())
    assert found.return_ci95 == pytest.approx(expected, abs=1e-3)


def test_imagined_episodes_begin_where_the_datas_did(dataset):
    members = Members(FakeDynamics(), StartSampler(dataset, 0, 1.0), IMAGINED, doubting(1e9), 0.0)
    assert isinstance(members, Environment)
    first = {tuple(dataset.state[s + k]) for k, s in enumerate(dataset.episode_start)}
    assert {tuple(state) for state in members.reset(3).numpy()} <= first
    assert len(first) == dataset.episodes > 1


def test_an_episode_stays_with_its_member_and_its_age_goes_on(dataset):
    system = FakeDynamics(terminal_above=1e9)
    imagine(system, dataset, make_actors(), doubting(1e9), IMAGINED, 1)
    assert torch.equal(system.seeds[0], system.seeds[1])
    assert len(system.seeds[0].unique()) == IMAGINED
    assert [int(age[0]) for age in system.ages] == list(range(SPEC.episode_limit))


def test_a_doubt_that_is_no_number_cuts_and_what_leaves_the_log_is_told_by_feature(dataset):
    class Lost(FakeDynamics):
        def predict(self, query):
            said = super().predict(query)
            outside = said.outside.clone()
            outside[:, 1] = outside[:, 5] = True
            return replace(said, disagreement=said.disagreement * torch.nan, outside=outside)

    found = imagine(
        Lost(terminal_above=1e9), dataset, make_actors(), doubting(1e9, edge="cut"), 5, 1
    )
    assert (found.outside_share, found.cut_share) == (1.0, 0.0)
    assert found.outside == {"b": 1.0, "reward": 1.0}
    kept = imagine(
        Lost(terminal_above=1e9), dataset, make_actors(), doubting(1e9, edge="clamp"), 5, 1
    )
    assert (kept.outside_share, kept.cut_share) == (1.0, 0.0)  # named, though the doubt ended it


@pytest.mark.parametrize(("doubted", "decided"), [(True, 1.0), (False, 0.0)])
def test_a_return_that_one_doubtful_step_decides_is_told_by_what_is_earned_there(
    dataset, doubted, decided
):
    """All is earned in the last step: a share of steps alone would not see that it is doubted."""
    last = SPEC.episode_limit - 1

    class Payday(FakeDynamics):
        def predict(self, query):
            said, pays = super().predict(query), query.age == last
            unsure = pays if doubted else query.age == 0
            mean = torch.full_like(said.reward, float(dataset.reward.mean()))
            return replace(
                said,
                reward=torch.where(pays, mean + 100, mean),
                disagreement=torch.where(unsure, 0.9, 0.0),
            )

    quiet = Payday(terminal_above=1e9)
    found = imagine(quiet, dataset, make_actors(), doubting(1e9), IMAGINED, 1)
    assert found.unusual_share == pytest.approx(1 / SPEC.episode_limit)
    assert found.unusual_reward_share == pytest.approx(decided, abs=1e-4)


def test_members_that_differ_widen_the_interval_and_more_of_them_do_not_narrow_it():
    returns = np.full(300, 5.0, np.float32)
    low, high = over_members(np.array([4.0, 5.0, 6.0]), returns)
    assert high - low == pytest.approx(2 * 4.30, rel=0.01)
    assert over_members(np.array([5.0, 5.0, 5.0]), returns) == pytest.approx((5.0, 5.0))
    many = over_members(np.array([4.0, 5.0, 6.0] * 10), returns)
    assert 2 < many[1] - many[0] < high - low


def test_sampled_actions_are_the_seeds_and_are_not_the_most_likely_ones():
    actors, task = (
        Actors(tasks.get("icg").spec, ActorConfig(width=8, memory="none")),
        tasks.get("icg"),
    )
    first, again, other = (
        evaluate(actors, task.spec, task.copies(200), seed, sampled=True) for seed in (1, 1, 2)
    )
    likely = evaluate(actors, task.spec, task.copies(200), 1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert likely.std() == 0  # every copy of this game goes alike
    assert 4.5 < first.mean() < 5.5  # an untrained policy is near uniform: half of ten
    assert first.std() > 1
