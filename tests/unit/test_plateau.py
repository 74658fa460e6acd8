"""When training stops because what the team imagines has stopped rising, and when it does not."""

from dataclasses import replace

import pytest
import torch

from learner import checkpoint
from learner.algorithms.base import IMAGINED
from learner.algorithms.moma_ppo.plateau import Plateau, returns
from learner.checkpoint import Counters
from tests.builders import make_config, make_ppo, make_trajectory

CONFIG = make_config()


def waiting(*means, spread=0.0):
    """Rounds waited after returns of these means, with this much spread among rollouts."""
    plateau, random, seen = Plateau(), torch.Generator().manual_seed(0), []
    for mean in means:
        plateau.add(float(mean) + spread * torch.randn(100, generator=random))
        seen.append(int(plateau.waited))
    return seen


def test_it_waits_where_nothing_rises_and_begins_anew_where_something_does():
    assert waiting(*[1.0] * 9) == [0, 0, 0, 0, 0, 1, 2, 3, 4]
    assert waiting(*range(9)) == [0] * 9
    assert waiting(*[1.0] * 8, 2.0, 2.0) == [0] * 5 + [1, 2, 3, 0, 0]
    assert waiting(*[3.0] * 5, 2.0, 1.0, 0.0)[-1] == 3


def test_what_rises_again_after_a_fall_is_not_waited_for():
    fallen = [3.0] * 5 + [0.0] * 5
    assert waiting(*fallen)[-1] == 5
    assert waiting(*fallen, *[0.2 * k for k in range(10)])[-1] < 10
    assert waiting(*fallen, *[0.0] * 10)[-1] == 15


def test_a_rise_within_its_own_chance_is_none():
    creeping = [0.001 * k for k in range(30)]
    assert waiting(*creeping, spread=1.0)[-1] > 0
    assert waiting(*creeping)[-1] == 0  # the same rise, and it is no chance


def test_what_rises_by_less_and_less_comes_to_an_end():
    seen = waiting(*[1 - 0.8**k for k in range(60)])
    assert max(seen[:15]) == 0
    assert seen[-1] >= 30
    assert waiting(*[1000 + 1 - 0.8**k for k in range(60)]) == seen  # wherever returns lie


def test_returns_are_those_of_rollouts_that_began_an_episode_before_the_penalty():
    steps, rows = 4, CONFIG.rollout.rows
    reward = torch.arange(steps * rows, dtype=torch.float32).reshape(steps, rows)
    valid = torch.ones(steps, rows, dtype=torch.bool)
    valid[2:, 0] = False
    age = torch.tensor([0, 0, 3, 1, 0, 2])
    made = make_trajectory(
        CONFIG, age=age, valid=valid, reward=reward - 0.5, penalty=torch.full((steps, rows), 0.5)
    )
    expected = [reward[:2, 0].sum(), reward[:, 1].sum(), reward[:, 4].sum()]
    assert returns(made).tolist() == [float(value) for value in expected]


def test_a_round_in_which_no_episode_began_tells_nothing():
    plateau = Plateau()
    plateau.add(torch.ones(3))
    before = {name: value.clone() for name, value in plateau.state_dict().items()}
    plateau.add(torch.empty(0))
    assert all(torch.equal(before[name], value) for name, value in plateau.state_dict().items())
    assert (plateau.mean, int(plateau.waited)) == (1.0, 0)
    assert Plateau().mean is None


def learner(patience, rounds=50):
    return make_ppo(replace(CONFIG, ppo=replace(CONFIG.ppo, patience=patience, rounds=rounds)))


def go(learned, rounds):
    """Rounds of a world that pays the same whatever the team does."""
    for _ in range(rounds):
        if learned.done:
            break
        made = make_trajectory(CONFIG, seed=learned.version)
        learned.update([replace(made, reward=torch.ones_like(made.reward))])
    return learned


def test_training_stops_where_nothing_rises_and_says_so():
    learned = go(learner(patience=3), 50)
    assert (learned.version, learned.done) == (8, True)  # five rounds for a mean, three in vain
    assert learned.stopped == "the imagined return has not risen above 4.00 for 3 rounds"


def test_without_patience_it_goes_on_to_the_last_round():
    learned = go(learner(patience=0, rounds=12), 50)
    assert (learned.version, learned.done, learned.stopped) == (12, True, "")


def test_a_run_whose_return_still_rises_at_its_last_round_says_so():
    """The rounds ended too soon.

    Symptom: The last line says "the imagined return was still rising".
    Cause: The rounds that the log or the recipe asked for are too few for this log.
    What we do: The policies are judged as they are; nothing is called done that was not.
    What you do: Go on with what the line says: --resume RUN --ppo.rounds N.
    """
    rising = learner(patience=3, rounds=12)
    for round_ in range(12):
        made = make_trajectory(CONFIG, seed=round_)
        rising.update([replace(made, reward=torch.full_like(made.reward, float(round_)))])
    assert rising.done
    assert rising.stopped == (
        "the imagined return was still rising; for more rounds: --resume RUN --ppo.rounds 24"
    )
    # Negative control: one that pays the same in every round is over.
    assert go(learner(patience=0, rounds=12), 12).stopped == ""


def test_the_imagined_return_is_measured_every_round():
    learned = learner(patience=0)
    updated = learned.update([make_trajectory(CONFIG, reward=torch.ones(4, CONFIG.rollout.rows))])
    assert updated.metrics[IMAGINED] == pytest.approx(4.0)
    aged = make_trajectory(CONFIG, age=torch.ones(CONFIG.rollout.rows, dtype=torch.int64))
    assert IMAGINED not in learner(patience=0).update([aged]).metrics


def test_a_resumed_run_stops_where_the_straight_one_does(tmp_path):
    straight, stopped = go(learner(patience=4), 50), go(learner(patience=4), 7)
    counters = Counters(version=7, transitions=1, resumes=0, seconds=1.0)
    checkpoint.save(tmp_path, stopped.state(), counters)
    resumed = learner(patience=4)
    found, state = checkpoint.load(tmp_path, resumed.state())
    resumed.load(state, found.version)
    assert int(resumed.plateau.waited) == 2
    go(resumed, 50)
    assert (resumed.version, resumed.stopped) == (straight.version, straight.stopped)
    assert straight.version == 9
    mine, theirs = resumed.state(), straight.state()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    # Negative control: who forgets how long it has waited stops later.
    forgetful = learner(patience=4)
    forgetful.load(state, found.version)
    forgetful.plateau.load_state_dict(Plateau().state_dict())
    assert go(forgetful, 50).version > straight.version
