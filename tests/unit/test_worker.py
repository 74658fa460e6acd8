"""A worker's loop where the model is replaced under it."""

import math
from dataclasses import replace

from moma_core.nets.policy import Actors
from moma_core.types import Assignment, PolicySnapshot, Receipt
from rollout_workers.worker import Worker
from tests.builders import SPEC, FakeDynamics, make_config, make_starts, run_card

CONFIG = make_config()


class Run:
    """A learner with one segment to make, until somebody has made it."""

    def __init__(self):
        self.taken = []

    def describe(self):
        return run_card(CONFIG)

    def assign(self, worker, incarnation, wait_s):  # noqa: ARG002 - the port's
        starts = None if self.taken else make_starts(CONFIG.rollout.rows, CONFIG.actor.history)
        return Assignment(policy_version=0, epoch=0, first=0, starts=starts, stop=bool(self.taken))

    def fetch_policy(self):
        return PolicySnapshot(version=0, parameters=Actors(SPEC, CONFIG.actor).state_dict())

    def submit(self, trajectory):
        self.taken.append(trajectory)
        return Receipt(version=0, reason="", stop=True)


class Replaced(FakeDynamics):
    """Becomes another model, with a card of its own, at its second answer."""

    def __init__(self):
        super().__init__(terminal_above=math.inf)
        self.asked = 0

    @property
    def digest(self):
        return "1" * 64 if len(self.seeds) >= 2 else "0" * 64

    def describe(self):
        self.asked += 1
        return replace(super().describe(), digest=self.digest)

    def predict(self, query):
        answer = super().predict(query)
        return replace(answer, model=self.digest)


def test_a_segment_of_two_models_is_dropped_and_made_again_with_the_new_one():
    run, model = Run(), Replaced()
    worker = Worker(run, model, "w", wait_s=0.0)
    assert worker.step()
    assert run.taken == []
    assert model.asked == 2  # the new model's own cut counts from now on
    assert not worker.step()
    assert len(run.taken) == 1
    assert len(model.seeds) > 2 + 1
