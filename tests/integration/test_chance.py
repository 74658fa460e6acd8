"""Draws: of a coin, of noise whose shape nobody assumed, by seed and age, whatever the batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model_server.world_model import files
from model_server.world_model.accelerator import Accelerated
from model_server.world_model.fit import fit
from moma_core import seeds
from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.types import Query
from tests.builders import SPEC, make_config, picked, random_action, world_model, write_dataset

CONFIG = replace(make_config().model, width=32, updates=300, evaluate_every=50, learning_rate=1e-2)
COIN, CLOCK, GOAL = 0, 3, 4


def chancy(path, episodes=150, length=8):
    """A log of a coin, two features that jump left or right together, a clock and a goal.

    The jump is 1 to either side with a little noise, and the second feature jumps half as far.
    """
    random = np.random.default_rng(0)
    with EpisodeWriter(SPEC, path, {"maker": "tests"}) as writer:
        for _ in range(episodes):
            goal, place = random.normal(), random.normal(0, 0.5, 2)
            states, actions = [], []
            for step in range(length + 1):
                states.append([random.integers(2), *place, step / length, goal])
                actions.append(random_action(random))
                jump = random.choice((-1, 1)) + 0.05 * random.normal()
                place = 0.5 * place + 0.2 * actions[-1][0, 0] + np.array([jump, 0.5 * jump])
            states = np.array(states, np.float32)
            reward = (states[1:, 1] - states[1:, 2]).astype(np.float32)
            writer.add(states, np.stack(actions[:-1]), reward, terminated=False)
    return Dataset.load(path)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return chancy(tmp_path_factory.mktemp("log") / "log")


@pytest.fixture(scope="module")
def fitted(log, tmp_path_factory):
    """The model that draws, and the one that does not, both as they were saved."""
    models = {}
    for draw in ("sample", "mean"):
        config, path = replace(CONFIG, draw=draw), tmp_path_factory.mktemp("models") / draw
        done = fit(log, config, 0, lambda _: None)
        models[draw] = files.save(done, log, 0, path), path
    return models


def questions(log, count=400, seed=3):
    rows = log.rows(np.arange(count))
    age = torch.arange(count) % SPEC.episode_limit
    return Query(state=rows.state, action=rows.action, age=age, seed=seeds.rows(seed, count))


def test_a_coin_falls_on_one_of_its_sides_and_its_mean_on_neither(log, fitted):
    query = questions(log)
    sides = {draw: model.predict(query).next_state[:, COIN] for draw, (model, _) in fitted.items()}
    assert set(sides["sample"].tolist()) == {0.0, 1.0}
    assert 0.4 < sides["sample"].mean() < 0.6
    assert ((sides["mean"] > 0.2) & (sides["mean"] < 0.8)).float().mean() > 0.95


def test_with_one_member_per_rollout_the_coin_still_falls_anew_in_every_step(log, fitted):
    model, _ = fitted["sample"]
    one = picked(questions(log), [0] * 4000)
    row_seed = seeds.rows(1, 500).repeat(8)
    query = replace(one, seed=row_seed, age=torch.arange(8).repeat_interleave(500))
    thrown = model.predict(query).next_state[:, COIN].view(8, 500)
    together = np.corrcoef(thrown.numpy())
    assert np.abs(together[~np.eye(8, dtype=bool)]).max() < 0.2
    assert 0.4 < thrown.mean() < 0.6
    again = model.predict(replace(query, age=torch.zeros_like(query.age)))
    still = again.next_state[:, COIN].view(8, 500)
    assert torch.equal(still, still[:1].expand(8, 500)), "without its age it would fall once"


def test_features_that_jump_together_do_so_when_drawn(log, fitted):
    query = questions(log)
    for draw, forks in (("sample", True), ("mean", False)):
        model, _ = fitted[draw]
        after = model.predict(query).next_state[:, 1:3]
        jump = after - 0.5 * query.state[:, 1:3] - 0.2 * query.action[:, 0, :1]
        side = jump[:, 0].abs()
        assert bool((side > 0.6).float().mean() > 0.9) is forks
        if forks:
            torch.testing.assert_close(jump[:, 1], 0.5 * jump[:, 0], atol=0.25, rtol=0)
            assert 0.4 < (jump[:, 0] > 0).float().mean() < 0.6


def bound_to_a_coin(path, episodes=400, length=8):
    """A log in which a coin decides, in the step in which it falls, jump, reward and end."""
    random = np.random.default_rng(0)
    with EpisodeWriter(SPEC, path, {"maker": "tests"}) as writer:
        for _ in range(episodes):
            states = [[0, 0, 0, 0, random.normal()]]
            while len(states) <= length and not states[-1][COIN]:
                coin = float(random.random() < 0.3)
                place = 0.5 * states[-1][1] + (2 if coin else 0.1) + 0.05 * random.normal()
                states.append([coin, place, random.normal(), 0, states[0][GOAL]])
            states = np.array(states, np.float32)
            action = np.stack([random_action(random) for _ in states[1:]])
            coins = states[1:, COIN]
            writer.add(states, action, 3 * coins, terminated=bool(coins[-1]))
    return Dataset.load(path)


def test_what_a_coin_decides_in_its_own_step_comes_with_it(tmp_path):
    log = bound_to_a_coin(tmp_path / "log")
    model = files.save(fit(log, CONFIG, 0, lambda _: None), log, 0, tmp_path / "model")
    query = questions(log)
    said = model.predict(query)
    fell = said.next_state[:, COIN] == 1
    assert 0.2 < fell.float().mean() < 0.4
    jumped = said.next_state[:, 1] - 0.5 * query.state[:, 1] > 1
    for bound in (jumped, said.reward > 1.5, said.terminated):
        assert (bound == fell).float().mean() > 0.97
    # Negative control: drawn apart they would agree by chance alone.
    other = fell[torch.randperm(len(fell), generator=torch.Generator().manual_seed(0))]
    assert (jumped == other).float().mean() < 0.75


def test_intervals_hold_what_they_say_on_episodes_that_nothing_was_taken_from(fitted):
    covered = {
        draw: files.report(path)["held_out"]["coverage"] for draw, (_, path) in fitted.items()
    }
    assert set(covered["sample"]["0.50"]) == {"a", "b", "c", "reward"}, "clock and goal have none"
    for name, share in covered["sample"]["0.50"].items():
        assert 0.38 < share < 0.62, name
    for name, share in covered["sample"]["0.90"].items():
        assert 0.82 < share < 0.98, name
    # Two outcomes are no Gaussian: nothing comes within half of its mean's deviation.
    assert covered["mean"]["0.50"]["b"] < 0.2


def test_what_is_carried_is_carried_exactly_beside_what_is_drawn(log, fitted):
    query = questions(log)
    after = fitted["sample"][0].predict(query).next_state
    assert torch.equal(after[:, GOAL], query.state[:, GOAL])
    torch.testing.assert_close(after[:, CLOCK], query.state[:, CLOCK] + 1 / 8, rtol=0, atol=2e-7)


def test_draws_do_not_depend_on_the_batch(log, fitted):
    model, path = fitted["sample"]
    query, whole = questions(log), None
    whole = model.predict(query)
    order = torch.randperm(query.rows, generator=torch.Generator().manual_seed(1))
    for rows in (order, order[:7], torch.tensor([3])):
        part = model.predict(picked(query, rows)).next_state
        assert torch.equal(part[:, COIN], whole.next_state[rows][:, COIN])
        torch.testing.assert_close(part, whole.next_state[rows], rtol=1e-4, atol=1e-4)
    padded = Accelerated(files.load(path), torch.device("cpu")).predict(query)
    torch.testing.assert_close(padded.next_state, whole.next_state, rtol=1e-4, atol=1e-4)
    other = model.predict(replace(query, seed=seeds.rows(9, query.rows)))
    assert not torch.equal(other.next_state[:, COIN], whole.next_state[:, COIN])


def test_a_loaded_model_draws_the_same_bits(log, fitted):
    model, path = fitted["sample"]
    query, loaded = questions(log), files.load(path)
    assert torch.equal(loaded.predict(query).next_state, model.predict(query).next_state)
    assert loaded.ensemble.residuals.shape[1] > 1
    assert torch.equal(loaded.ensemble.codes.values, torch.tensor([[0.0], [1.0]]))
    plain = files.load(fitted["mean"][1])
    assert len(plain.ensemble.codes) == 0


def test_members_that_were_never_fitted_draw_their_means(tmp_path):
    dataset = write_dataset(tmp_path / "log")
    rows = dataset.rows(np.arange(30))
    age = torch.arange(30) % dataset.spec.episode_limit
    answers = [
        world_model(dataset, replace(CONFIG, draw=draw)).predict(
            Query(state=rows.state, action=rows.action, age=age, seed=seeds.rows(0, 30))
        )
        for draw in ("sample", "mean")
    ]
    assert torch.equal(answers[0].next_state, answers[1].next_state)


def failing(path, share=0.05, episodes=400):
    """A log in which a step ends the episode now and then, whatever was done."""
    random = np.random.default_rng(0)
    with EpisodeWriter(SPEC, path, {"maker": "tests"}) as writer:
        for _ in range(episodes):
            ends = random.random(8) < share
            length = int(ends.argmax()) + 1 if ends.any() else 8
            states = random.normal(size=(length + 1, 5)).astype(np.float32)
            actions = np.stack([random_action(random) for _ in range(length)])
            writer.add(states, actions, states[1:, 0], terminated=bool(ends.any()))
    return Dataset.load(path)


def test_rare_ends_come_as_often_as_in_the_log(tmp_path):
    log, share = failing(tmp_path / "log"), {}
    query = questions(log, 2000)
    truth = len(log.terminals) / log.transitions
    for draw in ("sample", "mean"):
        done = fit(log, replace(CONFIG, draw=draw, learning_rate=1e-3), 0, lambda _: None)
        model = files.save(done, log, 0, tmp_path / draw)
        share[draw] = float(model.predict(query).terminated.float().mean())
    assert 0.03 < truth < 0.07
    assert share["sample"] == pytest.approx(truth, abs=0.025)
    # Rounded at even odds, where a terminal counts twentyfold, it is a matter of taste.
    assert abs(share["mean"] - truth) > 0.1
