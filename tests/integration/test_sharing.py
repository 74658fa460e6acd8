"""Workers share a round out: how much more they make together, by a clock of their own each.

Workers, learner's service and rollouts are the real ones. The model costs what a test says, and
nothing else takes time: what is measured is the sharing alone, on a machine however busy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pytest

from learner import leasing as module
from learner.service import LearnerService
from learner.starts import drawing
from moma_core.config import PessimismConfig, RolloutConfig
from moma_core.datasets import StartSampler
from rollout_workers.worker import Worker
from tests.builders import FakeDynamics, make_config, make_ppo, run_card, write_dataset

HORIZON, ROUNDS = 4, 3
REQUEST_S = 0.003


class Clocked(FakeDynamics):
    """A model that takes its worker's time, as long as `cost` says of so many rows."""

    def __init__(self, cost):
        super().__init__(terminal_above=math.inf)
        self.now, self._cost = 0.0, cost

    def predict(self, query):
        self.now += self._cost(query.rows)
        return super().predict(query)


@dataclass
class Outcome:
    """What came of some rounds."""

    seconds: float = 0.0
    pieces: list[int] = field(default_factory=list)
    """How many every round had."""
    in_vain: int = 0
    """Times that a worker asked for nothing while rollouts were missing."""


class Dated:
    """The learner's service, which notes when pieces came back by their worker's clock."""

    def __init__(self, service, model, came):
        self._service, self._model, self._came = service, model, came

    def __getattr__(self, name):
        return getattr(self._service, name)

    def submit(self, trajectory):
        self._came[trajectory.first] = self._model.now
        return self._service.submit(trajectory)


class Crew:
    """A learner and its workers; whoever is first in time is next."""

    def __init__(self, dataset, rollout, workers, cost):
        config = make_config(rollout=rollout, pessimism=PessimismConfig(cut=1e9))
        fresh = StartSampler(dataset, config.actor.history, 1.0)
        self.now, self.came, self.workers = 0.0, {}, {}
        self.service = LearnerService(run_card(config), drawing(fresh, 0), clock=lambda: self.now)
        self.snapshot = make_ppo(config).snapshot()
        for number in range(workers):
            self.service.assign(f"w{number}", 0, 0.0)
            model = Clocked(cost)
            dated = Dated(self.service, model, self.came)
            self.workers[model] = Worker(dated, model, f"w{number}", wait_s=0.0)

    def play(self, update_s):
        """Some rounds, the update of each taking so many seconds."""
        outcome, version, published = Outcome(), 0, None
        self.service.publish(self.snapshot)
        while True:
            model = min(self.workers, key=lambda model: model.now)
            if published is not None and published <= model.now:
                version, outcome.seconds, published = version + 1, published, None
                if version == ROUNDS:
                    return outcome
                self.service.publish(replace(self.snapshot, version=version))
            elif not self._works(model, outcome):
                later = [other.now for other in self.workers if other.now > model.now]
                model.now = min([*later, *([] if published is None else [published])])
            if published is None and (made := self.service.gather(0.0)) is not None:
                outcome.pieces.append(len(made))
                whole = max(self.came[one.first] for one in made)
                published = max(whole, outcome.seconds) + update_s

    def _works(self, model, outcome):
        """Lets a worker ask and make what it gets; true where it got any."""
        self.now = model.now
        missing = "any worker" in self.service.waiting_for()
        assert self.workers[model].step()
        idle = model.now == self.now
        outcome.in_vain += missing and idle
        return not idle


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("log") / "log")


def per_request(_):
    """A request takes as long as any other."""
    return REQUEST_S


def per_row(rows):
    """As long as it has rows: 64 of them a request's time."""
    return REQUEST_S * rows / 64


def rounds(dataset, rows, workers, cost, *, update_s=0.0, lag=0):
    rollout = RolloutConfig(rows=rows, horizon=HORIZON, lag=lag)
    return Crew(dataset, rollout, workers, cost).play(update_s)


SHARED = [(2048, per_request), (512, per_row)]
"""A round of eight pieces, whose requests cost the same; and one that two workers could make."""


@pytest.mark.parametrize(("rows", "cost"), SHARED, ids=["per request", "per row"])
def test_workers_make_as_many_times_more_as_there_are(dataset, rows, cost):
    alone = rounds(dataset, rows, 1, cost)
    assert alone.seconds == pytest.approx(ROUNDS * HORIZON * 8 * REQUEST_S)
    for workers in (2, 4, 8):
        outcome = rounds(dataset, rows, workers, cost)
        assert alone.seconds / outcome.seconds >= 0.9 * workers, workers
        assert outcome.in_vain == 0
        assert min(outcome.pieces) >= workers


def test_cut_in_two_eight_workers_make_no_more_than_two(dataset, monkeypatch):
    alone = rounds(dataset, 512, 1, per_row)
    monkeypatch.setattr(module, "share", lambda rollout, *_: rollout.rows // 2)
    outcome = rounds(dataset, 512, 8, per_row)
    assert alone.seconds / outcome.seconds == pytest.approx(2)


def test_with_a_lag_workers_imagine_while_the_learner_updates(dataset):
    # Imagining a round takes as long as an update.
    update_s = HORIZON * REQUEST_S
    apart = rounds(dataset, 512, 8, per_row, update_s=update_s)
    assert apart.seconds == pytest.approx(ROUNDS * 2 * update_s)
    at_once = rounds(dataset, 512, 8, per_row, update_s=update_s, lag=1)
    assert at_once.seconds == pytest.approx((ROUNDS + 1) * update_s)
