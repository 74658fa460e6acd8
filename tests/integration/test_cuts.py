"""A round comes out the same however it is cut, and whoever comes and goes while it is made."""

from __future__ import annotations

import pytest

from learner import build
from learner.service import LearnerService
from learner.starts import drawing, rollout_seeds
from moma_core.datasets import StartSampler
from moma_core.runtime import subject
from moma_core.types import RunCard, Trajectory
from rollout_workers.worker import Worker
from tests.integration.parts import NOBODY, gather

ROUNDS, TOGETHER = 2, 64


class Clock:
    """Seconds that only the test moves."""

    now = 0.0

    def __call__(self):
        return self.now


class Team:
    """A learner and the workers that are there, each of which makes a piece when it is told to."""

    def __init__(self, run, model, together, draw):
        config = run.config()
        dataset = subject.dataset(config, run.data)
        fresh = StartSampler(dataset, config.actor.history, config.rollout.episode_starts)
        card = RunCard(
            run=run.name, task=dataset.spec, model_servers=(NOBODY,), model=None,
            rollout=config.rollout, pessimism=config.pessimism, actor=config.actor,
            together=together,
        )  # fmt: skip
        self.clock, self.model = Clock(), model
        self.service = LearnerService(card, draw(fresh, config.seed), clock=self.clock)
        self.learned = build.algorithm(config, dataset, run.clones)

    def workers(self, count, first=0):
        """Workers that the learner has heard of."""
        names = [f"w{number}" for number in range(first, first + count)]
        for name in names:
            self.service.assign(name, 0, 0.0)
        return [Worker(self.service, self.model, name, wait_s=0.0) for name in names]

    def work(self, workers):
        """They take turns until the round is whole."""
        while self.service.waiting_for():
            for worker in workers:
                assert worker.step()

    def round(self, crew, order):
        """One round by a crew; returns the pieces that it was cut into."""
        self.service.publish(self.learned.snapshot())
        crew(self)
        pieces = gather(self.service)
        self.learned.update((Trajectory.joined(order(pieces)),))
        return [len(piece.rollouts) for piece in pieces]


def steady(count):
    """The same workers all the time."""

    def crew(team):
        if team.learned.version == 0:
            team.crew = team.workers(count)
        team.work(team.crew)

    return crew


def changing(team):
    """Four workers, of whom two are lost with what they have; later there are three more."""
    begun = team.workers(4, first=10 * team.learned.version)
    for worker in begun[:2]:
        assert worker.step()
    for lost in (2, 3):
        name = f"w{10 * team.learned.version + lost}"
        assert team.service.assign(name, 0, 0.0).starts is not None
    team.clock.now += team.service.describe().rollout.lease_s + 1
    joined = team.workers(3, first=10 * team.learned.version + 4)
    team.work([*begun[:2], *joined])


def trained(run, model, crew, together=TOGETHER, draw=drawing, order=list):
    """What is learned in two rounds, and how they were cut."""
    team = Team(run, model, together, draw)
    cuts = [team.round(crew, order) for _ in range(ROUNDS)]
    return team.learned.state(), cuts


def apart(one, other):
    """The largest difference of any number in two states."""
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


CREWS = {"two": steady(2), "three": steady(3), "seven": steady(7), "four, two, five": changing}


@pytest.fixture(scope="module")
def straight(run, model):
    """What one worker makes, in groups that stay together and without."""
    return {together: trained(run, model, steady(1), together) for together in (TOGETHER, 0)}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("together", [TOGETHER, 0])
@pytest.mark.parametrize("crew", CREWS)
def test_the_weights_are_the_same_however_a_round_is_cut(run, model, straight, crew, together):
    expected, whole = straight[together]
    found, cuts = trained(run, model, CREWS[crew], together)
    assert [sum(cut) for cut in cuts] == [sum(cut) for cut in whole]
    assert cuts != whole or crew == "two"
    if together:
        assert apart(found, expected) == 0.0
    else:
        assert apart(found, expected) <= 1e-5


@pytest.mark.usefixtures("one_thread")
def test_a_round_for_seven_is_cut_in_seven(run, model):
    _, cuts = trained(run, model, steady(7), 0)
    assert cuts == [[74] * 6 + [68]] * ROUNDS


def by_piece(fresh, seed):
    """Seeds of a rollout's place in its piece, instead of in the run."""
    return lambda rollouts: fresh.draw(rollout_seeds(seed, range(len(rollouts))))


@pytest.mark.usefixtures("one_thread")
def test_with_seeds_that_belong_to_pieces_a_cut_changes_the_result(run, model):
    one, other = (trained(run, model, steady(n), draw=by_piece)[0] for n in (1, 3))
    assert apart(one, other) > 1e-3


@pytest.mark.usefixtures("one_thread")
def test_without_the_order_of_rollouts_a_cut_changes_the_result(run, model, straight):
    backwards, _ = trained(run, model, steady(3), TOGETHER, order=lambda pieces: pieces[::-1])
    assert apart(backwards, straight[TOGETHER][0]) > 1e-3
