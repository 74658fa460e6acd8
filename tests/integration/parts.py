"""What integration tests are made from: a fitted tiny model, a learner's service, segments."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import torch

from learner.service import LearnerService
from learner.starts import drawing
from model_server.serving.batching import Batching
from model_server.world_model import files
from moma import fitting
from moma.engines.board import Board
from moma.engines.view import PlainView
from moma_core import recipes
from moma_core.address import FREE, Address
from moma_core.datasets import StartSampler
from moma_core.nets.policy import Actors
from moma_core.rpc.dynamics import serve_dynamics
from moma_core.rpc.endpoint import Endpoint
from moma_core.runtime import subject
from moma_core.runtime.run import RunDirectory
from moma_core.types import PolicySnapshot, RunCard, Trajectory
from rollout_workers.worker import Worker
from tests.builders import make_query

RECIPE = "reacher-tiny"
NOBODY = Address("127.0.0.1", 9)
"""An address that a card may name; no test connects to it."""


def fit_run(path):
    """Makes a run whose data, model and clones are there."""
    config = recipes.get(RECIPE)
    run = RunDirectory.create(path, config)
    board = Board(run, PlainView())
    fitting.model(run, config, board, lambda: False)
    fitting.clones(run, config, board, lambda: False)
    return run


def open_model(run):
    """Loads the run's world model."""
    return files.load(run.model)


def make_service(run, *, workers=2, seed=0, version=0, together=0):
    """A learner's service with a published policy, a round being cut for so many workers."""
    config = run.config()
    dataset = subject.dataset(config, run.data)
    card = RunCard(
        run=run.name,
        task=dataset.spec,
        model_servers=(NOBODY,),
        model=None,
        rollout=config.rollout,
        together=together,
        pessimism=config.pessimism,
        actor=config.actor,
    )
    starts = StartSampler(dataset, config.actor.history, config.rollout.episode_starts)
    service = LearnerService(card, drawing(starts, seed))
    for worker in range(workers):
        service.assign(f"w{worker}", 0, 0.0)  # whoever has been heard of counts
    actors = Actors(dataset.spec, config.actor, config.seed)
    service.publish(PolicySnapshot(version=version, parameters=actors.state_dict()))
    return service


def make_segments(service, dynamics):
    """Lets one worker in this process fill a round."""
    worker = Worker(service, dynamics, "w0", wait_s=0.0)
    while service.waiting_for():
        assert worker.step()
    return gather(service)


def gather(service) -> list[Trajectory]:
    """Returns the round's segments, which must all be there."""
    segments = service.gather(0.0)
    assert segments is not None, service.waiting_for()
    return segments


def make_rows(card, rows=8, seed=0):
    """A valid question for `Dynamics.predict`."""
    draw = torch.Generator().manual_seed(seed)
    spec = card.task
    action = torch.rand(rows, len(spec.agents), spec.action_width, generator=draw) * 2 - 1
    return make_query(
        state=torch.randn(rows, spec.state_width, generator=draw) * 0.1,
        action=spec.clamp(action),
        seed=torch.arange(rows) * 7919 + seed,
    )


@contextmanager
def serving(model, limits=None, listen=FREE):
    """Yields a model's queue and the address that it is served at."""
    batching = Batching(model, limits)
    server = serve_dynamics(batching, Endpoint(bind=listen))
    try:
        yield batching, server.address
    finally:
        server.stop(0.0)
        batching.close()


class Held:
    """A model that answers once it is let go."""

    def __init__(self, inner):
        self._inner, self.go, self.asked = inner, threading.Event(), threading.Event()

    def describe(self):
        return self._inner.describe()

    def metrics(self):
        return {}

    def predict(self, query):
        self.asked.set()
        assert self.go.wait(60)
        return self._inner.predict(query)


def until(true, within_s, what):
    """Polls until `true()` holds; a test that waits in vain fails and says for what."""
    end = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < end, f"no {what} within {within_s} s"
        time.sleep(0.02)
    return found


def in_thread(work):
    """Starts `work` in a thread; `.result(timeout_s)` returns its value or raises its error."""
    return _Result(work)


class _Result:
    def __init__(self, work):
        self._work, self._value, self._error = work, None, None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self._value = self._work()
        except BaseException as error:  # handed to whoever asks for the result
            self._error = error

    @property
    def done(self):
        return not self._thread.is_alive()

    def result(self, timeout_s):
        self._thread.join(timeout_s)
        assert self.done, f"not done within {timeout_s} s"
        if self._error is not None:
            raise self._error
        return self._value
