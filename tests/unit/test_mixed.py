"""Teams in which one agent chooses and another acts continuously: actors, updates, cloning."""

import base64
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from learner.algorithms.bc import BehaviourCloning
from learner.algorithms.moma_ppo import losses
from moma.log_tools.conventions import Situations, look
from moma.reports.card import choices
from moma_core.checks import check_query, check_trajectory
from moma_core.config import ActorConfig, BCConfig
from moma_core.datasets import Dataset, DatasetError, EpisodeWriter
from moma_core.nets.distributions import Categorical, Gaussian, Mixed
from moma_core.nets.policy import Actors
from moma_core.ports import InvalidFieldError
from moma_core.types import History
from tests.builders import CHOICES, MIXED, SPEC, imagine, make_config, make_ppo, make_query, uniform

WIDE, NARROW = 0, 1
CONFIG = make_config()


def mixed(rows=5, *, grad=False):
    """The mixed distribution and the two that it is made of, all with padding that is not 0."""
    random = torch.Generator().manual_seed(0)
    mean, log_std = (torch.randn(rows, 2, 3, generator=random) for _ in range(2))
    mean.requires_grad_(grad)
    log_std.requires_grad_(grad)
    gaussian = Gaussian(mean=mean, log_std=log_std, mask=MIXED.action_mask)
    categorical = Categorical(logits=mean, mask=MIXED.action_mask)
    given = Mixed(gaussian=gaussian, categorical=categorical, chooses=MIXED.chooses)
    return given, gaussian, categorical


def draws(given, rows, seed=0):
    return given.sample(given.noise(uniform(rows, 2, 3, seed=seed)))


def test_each_agent_has_exactly_what_its_own_distribution_says():
    given, gaussian, categorical = mixed()
    action = draws(given, 5)
    for ours, choice, number in (
        (given.log_prob(action), categorical.log_prob(action), gaussian.log_prob(action)),
        (given.entropy(), categorical.entropy(), gaussian.entropy()),
        (given.mean, categorical.mean, gaussian.mean),
        (given.mode(), categorical.mode(), gaussian.mode()),
    ):
        assert torch.equal(ours[:, WIDE], choice[:, WIDE])
        assert torch.equal(ours[:, NARROW], number[:, NARROW])
        # Negative control: the other distribution says something else.
        assert not torch.equal(choice[:, WIDE], number[:, WIDE])
        assert not torch.equal(choice[:, NARROW], number[:, NARROW])


def test_padding_changes_nothing():
    given, gaussian, _ = mixed()
    action = draws(given, 5)
    assert not action[:, NARROW, 1:].any()
    before = given.log_prob(action), given.entropy()
    for tensor in (action, gaussian.mean, gaussian.log_std):
        tensor[:, NARROW, 1:] += 3
    again = replace(given, categorical=replace(given.categorical))  # which keep nothing
    assert torch.equal(again.log_prob(action), before[0])
    assert torch.equal(again.entropy(), before[1])
    # Negative control: an agent's own dimension counts.
    gaussian.mean[:, NARROW, 0] += 3
    assert not torch.equal(again.log_prob(action)[:, NARROW], before[0][:, NARROW])


def test_choices_come_as_often_as_their_probabilities_say_and_numbers_are_gaussian():
    count = 40_000
    logits = torch.tensor([[1.0, 0.0, -2.0], [0.5, 9.0, 9.0]]).expand(count, 2, 3)
    gaussian = Gaussian(mean=logits, log_std=torch.full_like(logits, -1.0), mask=MIXED.action_mask)
    categorical = Categorical(logits=logits, mask=MIXED.action_mask)
    given = Mixed(gaussian=gaussian, categorical=categorical, chooses=MIXED.chooses)
    noise = given.noise(uniform(count, 2, 3))
    drawn = given.sample(noise)
    assert MIXED.one_hot(drawn)[:, WIDE].all()
    share = given.mean[0, WIDE]
    error = 4 * (share * (1 - share) / count).sqrt()
    assert ((drawn[:, WIDE].mean(0) - share).abs() <= error).all()
    assert torch.equal(drawn[:, NARROW], gaussian.sample(noise)[:, NARROW])
    # Nobody's draw tells another's.
    for choice in drawn[:, WIDE].T:
        assert abs(torch.corrcoef(torch.stack([choice, drawn[:, NARROW, 0]]))[0, 1]) < 0.02


def test_a_choice_is_drawn_however_large_the_noise():
    given, *_ = mixed(rows=2)
    drawn = given.sample(torch.tensor([-9.0, 9.0])[:, None, None].expand(2, 2, 3))
    assert torch.isfinite(drawn).all()
    assert MIXED.one_hot(drawn)[:, WIDE].all()
    assert torch.equal(drawn[:, WIDE], given.mode()[:, WIDE])  # all choices have the same noise


def test_gradients_are_those_of_each_agents_own_distribution():
    given, gaussian, _ = mixed(grad=True)
    action = draws(given, 5).detach()
    (given.log_prob(action) + given.entropy()).sum().backward()
    slow, number, choice = mixed(grad=True)
    own = (choice.log_prob(action) + choice.entropy())[:, WIDE].sum()
    (own + (number.log_prob(action) + number.entropy())[:, NARROW].sum()).backward()
    for ours, theirs in (
        (gaussian.mean.grad, slow.gaussian.mean.grad),
        (gaussian.log_std.grad, slow.gaussian.log_std.grad),
    ):
        torch.testing.assert_close(ours, theirs)
        assert ours.isfinite().all()
        assert not ours[:, NARROW, 1:].any()
    assert not gaussian.log_std.grad[:, WIDE].any()
    assert gaussian.mean.grad[:, WIDE].abs().min() > 0


@pytest.mark.parametrize("spread", [False, True])
def test_only_a_team_of_both_kinds_has_mixed_actors(spread):
    config = ActorConfig(width=8, depth=1, memory="none", state_dependent_std=spread)
    none = History.none(6, 2, 0, MIXED.frame_width)
    for spec, kind in ((MIXED, Mixed), (SPEC, Gaussian), (CHOICES, Categorical)):
        actors = Actors(spec, config, seed=1)
        given = actors(torch.randn(6, 2, 3), History.none(6, 2, 0, spec.frame_width))
        assert type(given) is actors.distribution is kind
    actors = Actors(MIXED, config, seed=1)
    given = actors(torch.randn(6, 2, 3), none)
    near = torch.tensor([[1 / 3] * 3, [0.0] * 3])
    torch.testing.assert_close(given.mean, near.expand(6, 2, 3), atol=0.05, rtol=0)
    assert set(actors.state_dict()) == set(Actors(SPEC, config).state_dict())


def learner():
    return make_ppo(CONFIG, MIXED, mean=0.1, std=1.5)


def segment(learned, sequence=0):
    return imagine(learned.snapshot(), CONFIG, sequence=sequence, task=MIXED)


def test_an_update_moves_all_that_is_of_use_and_nothing_else():
    learned = learner()
    parameters = dict(learned.actors.named_parameters())
    before = {name: p.detach().clone() for name, p in parameters.items()}
    made = [segment(learned, sequence=k) for k in range(2)]
    for one in made:
        check_trajectory(one, MIXED, CONFIG.rollout, CONFIG.actor.history)
    metrics = learned.update(made).metrics
    assert all(math.isfinite(value) for value in metrics.values()), metrics
    assert 0 < metrics["losses/entropy/wide"] <= math.log(3) + 1e-6
    moved = {name for name, p in parameters.items() if not torch.equal(p, before[name])}
    assert moved == set(parameters)
    assert torch.equal(parameters["log_std"][WIDE], before["log_std"][WIDE])
    assert not torch.equal(parameters["log_std"][NARROW, 0, 0], before["log_std"][NARROW, 0, 0])


def test_the_mean_bound_term_is_that_of_the_agents_that_do_not_choose():
    given, gaussian, categorical = mixed()
    far = replace(gaussian, mean=gaussian.mean + 9)
    given = Mixed(gaussian=far, categorical=categorical, chooses=MIXED.chooses)
    where = MIXED.action_bounds, MIXED.action_mask
    expected = (far.mean[:, NARROW, 0] - 2.0).square().mean()
    torch.testing.assert_close(losses.mean_bound_loss(given.mean, *where), expected)
    # Negative control: logits, taken for means, would be out of bounds.
    assert losses.mean_bound_loss(far.mean, *where) > expected + 1


def test_only_the_agent_that_chooses_has_to_be_one_hot():
    action = torch.tensor([[[0.0, 1.0, 0.0], [0.3, 0.0, 0.0]]]).repeat(4, 1, 1)
    query = make_query(state=torch.zeros(4, 5), action=action, seed=torch.arange(4))
    check_query(MIXED, query)
    action[2, WIDE] = torch.tensor([0.5, 0.5, 0.0])
    with pytest.raises(InvalidFieldError, match=r"^action: action\[2, 0\] of wide .*3 dimensions"):
        check_query(MIXED, query)


def write(path, episodes=60):
    """A log whose wide agent chooses by the sign of what it sees; the narrow one halves it."""
    random = np.random.default_rng(0)
    with EpisodeWriter(MIXED, path, {"maker": "tests"}) as writer:
        for _ in range(episodes):
            state = random.uniform(-0.8, 0.8, (6, 5)).astype(np.float32)
            action = np.zeros((5, 2, 3), np.float32)
            action[np.arange(5), WIDE, (state[:5, 0] > 0) * 2] = 1
            action[:, NARROW, 0] = 0.5 * state[:5, 1]
            writer.add(state, action, np.zeros(5, np.float32), terminated=False)
    return Dataset.load(path)


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        ((7, 0, 1), 1.0, r"action\[7\] of wide is .* 1 in one of its 3 dimensions"),
        ((7, 0), 0.0, r"action\[7\] of wide is .* 1 in one of its 3 dimensions"),
        ((9, 1, 0), 2.5, r"action\[9\] of narrow, dimension 0, is 2.5; bounds are \[-0.5, 2.0\]"),
        ((9, 1, 2), 1.0, r"action\[9\] of narrow, dimension 2, is 1.0"),
    ],
)
def test_a_mixed_log_must_be_one_hot_here_and_within_bounds_there(tmp_path, at, value, words):
    path = write(tmp_path / "log", episodes=2).path
    action = np.load(path / "action.npy")
    action[at] = value
    np.save(path / "action.npy", action)
    with pytest.raises(DatasetError, match=words):
        Dataset.load(path)


def test_clones_learn_both_kinds(tmp_path):
    dataset = write(tmp_path / "log")
    config = BCConfig(rounds=10, updates=20, minibatch=64, learning_rate=1e-2, patience=10)
    actor = ActorConfig(width=16, depth=1, memory="none")
    algorithm = BehaviourCloning(Actors(MIXED, actor, 0), dataset, config, 0)
    state = torch.rand(200, 5, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.6
    meant = (state[:, 0] > 0) * 2

    def agreed():
        observed = algorithm.actors.observed(MIXED.observe(state))
        with torch.no_grad():
            mode = algorithm.actors(observed, History.none(200, 2, 0, MIXED.frame_width)).mode()
        right = (mode[:, WIDE].argmax(1) == meant).float().mean()
        return right, (mode[:, NARROW, 0] - 0.5 * state[:, 1]).abs().mean()

    assert agreed()[0] < 0.8
    assert agreed()[1] > 0.1
    while not algorithm.done:
        algorithm.update(())
    right, off = agreed()
    assert right > 0.95
    assert off < 0.04


def test_the_card_draws_a_choice_against_a_number(tmp_path):
    data = write(tmp_path / "log")
    first = data.rows(data.episode_start)
    rows = Situations(where="first step", state=first.state.numpy(), action=first.action.numpy())
    found = look(MIXED, rows, np.ones(5), 0)
    assert found.pair == (WIDE, NARROW)
    edges, chosen = choices._cells(found, MIXED, WIDE)
    assert edges.tolist() == [-0.5, 0.5, 1.5, 2.5]
    np.testing.assert_array_equal(chosen, rows.action[:, WIDE])
    edges, cell = choices._cells(found, MIXED, NARROW)
    np.testing.assert_allclose(edges, np.linspace(-0.5, 2.0, 11))
    assert cell.sum(1).tolist() == [1] * len(first.state)
    assert base64.b64decode(choices.conventions(found, MIXED)).startswith(b"\x89PNG")
