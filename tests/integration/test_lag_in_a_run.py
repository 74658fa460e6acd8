"""The learner's loop with workers who go on while it updates: through to its end, and resumed."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager

import pytest

from learner import build
from learner.loop import Loop, Peers, Schedule
from learner.service import LearnerService
from learner.starts import drawing
from moma_core.config import PPOConfig, RolloutConfig
from moma_core.datasets import StartSampler
from moma_core.runtime.metrics import MetricsWriter
from moma_core.runtime.run import RunDirectory
from rollout_workers.worker import Worker
from tests.builders import FakeDynamics, make_config, make_ppo, run_card, write_dataset

ROUNDS, WORKERS = 8, 3


class Slow:
    """An update that takes a while, as one does."""

    def __init__(self, algorithm):
        self._algorithm = algorithm

    def __getattr__(self, name):
        return getattr(self._algorithm, name)

    def update(self, segments):
        time.sleep(0.05)
        return self._algorithm.update(segments)


@contextmanager
def working(service):
    """Workers in threads of their own, until the run is over."""

    def work(name):
        worker = Worker(service, FakeDynamics(), name, wait_s=1.0)
        while worker.step():
            pass

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(WORKERS)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def settings(lag, rounds):
    ppo = PPOConfig(rounds=rounds, epochs=1, minibatch=32, value_width=8, value_depth=1)
    return make_config(rollout=RolloutConfig(rows=24, horizon=4, lag=lag), ppo=ppo)


def learn(run, dataset, config):
    """Goes on with a run to its last round."""
    learned = make_ppo(config)
    counters = build.restore(learned, None, run.checkpoints)
    fresh = StartSampler(dataset, config.actor.history, 0.5)
    card, epoch = run_card(config), counters.resumes
    service = LearnerService(card, drawing(fresh, config.seed), epoch)
    writer = MetricsWriter(run.events, purge_step=None)
    schedule = Schedule(checkpoint=4, evaluation=0, keep=0)
    peers = Peers(progress=lambda _: None, stopping=lambda: False)
    loop = Loop(Slow(learned), service, schedule, run, writer, counters, peers)
    with working(service):
        ended = loop.run()
    writer.close()
    return ended


def lags(run):
    """Smallest and largest lag of every round, and the share that was dropped."""
    lines = map(json.loads, (run.events / "metrics.jsonl").read_text().splitlines())
    names = ("lag/min", "lag/max", "lag/dropped_fraction")
    return [tuple(line[name] for name in names) for line in lines if "lag/max" in line]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("log") / "log")


def test_with_a_lag_nothing_is_older_than_it_some_is_as_old_and_nothing_is_dropped(
    dataset, tmp_path
):
    config = settings(1, ROUNDS)
    run = RunDirectory.create(tmp_path / "run", config)
    assert learn(run, dataset, config).version == ROUNDS
    found = lags(run)
    assert len(found) == ROUNDS
    assert found[0][:2] == (0, 0)  # at first there is one policy alone
    assert max(largest for _, largest, _ in found) == 1
    assert {dropped for *_, dropped in found} == {0}
    # A resume, with another lag.
    more = settings(4, 2 * ROUNDS)
    assert learn(run, dataset, more).version == 2 * ROUNDS
    assert lags(run)[ROUNDS][:2] == (0, 0)
    assert 1 < max(largest for _, largest, _ in lags(run)) <= 4


def test_without_one_all_experience_is_the_newest_policys(dataset, tmp_path):
    config = settings(0, ROUNDS)
    run = RunDirectory.create(tmp_path / "run", config)
    assert learn(run, dataset, config).version == ROUNDS
    assert set(lags(run)) == {(0, 0, 0)}
