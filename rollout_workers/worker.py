"""The loop of one worker: ask for a segment, fetch the policy, imagine, submit. It owns nothing."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial

from moma_core import pessimism
from moma_core.checks import check_model
from moma_core.nets.policy import Actors
from moma_core.ports import Dynamics, Learner, ModelChangedError
from moma_core.types import Assignment, StartStates, Trajectory
from rollout_workers.rollout import Identity, rollout

_LOG = logging.getLogger(__name__)


class Worker:
    """One worker of a run. Both peers are arguments, in this process or another."""

    def __init__(
        self,
        learner: Learner,
        dynamics: Dynamics,
        name: str,
        incarnation: int = 0,
        wait_s: float = 5.0,
    ) -> None:
        """Asks both peers what they are.

        Args:
            learner: who hands out segments.
            dynamics: where they are imagined.
            name: unique within the run.
            incarnation: how often this worker has been started before.
            wait_s: how long the learner may keep a request for work waiting.

        Raises:
            ValueError: the model was made for another task, or from another log.
        """
        self._learner, self._dynamics = learner, dynamics
        self._name, self._incarnation, self._wait_s = name, incarnation, wait_s
        self._card = learner.describe()
        self._penalty = partial(pessimism.penalty, config=self._card.pessimism)
        self._ask_model()
        self._actors = Actors(self._card.task, self._card.actor)
        self._held = (-1, -1)

    def step(self) -> bool:
        """Makes one segment if there is one to make; False when the run is over."""
        asked = time.perf_counter()
        assignment = self._learner.assign(self._name, self._incarnation, self._wait_s)
        if assignment.stop or assignment.starts is None:
            return not assignment.stop
        if self._held != (assignment.epoch, assignment.policy_version):
            snapshot = self._learner.fetch_policy()
            self._actors.load(snapshot.parameters)
            self._held = (assignment.epoch, snapshot.version)
        begun = time.perf_counter()
        try:
            trajectory = self._imagine(assignment.starts, self._identity(assignment))
        except ModelChangedError as error:
            _LOG.warning("rollouts from %d on are made again: %s", assignment.first, error)
            self._ask_model()
            return True
        seconds = {
            "perf/worker_wait_s": begun - asked,
            "perf/rollout_s": time.perf_counter() - begun,
        }
        metrics = {**trajectory.metrics, **seconds}
        receipt = self._learner.submit(replace(trajectory, metrics=metrics))
        return not receipt.stop

    def _imagine(self, starts: StartStates, who: Identity) -> Trajectory:
        """Imagines what was assigned, in groups where the same bits are wanted."""
        made = [
            rollout(
                self._actors,
                self._dynamics,
                group,
                self._card.rollout,
                self._penalty,
                self._truncation,
                who,
            )
            for group in starts.parts(self._card.together)
        ]
        return Trajectory.joined(made)

    def _ask_model(self) -> None:
        """Takes from the model where to stop believing it.

        Raises:
            ValueError: it was made for another task, or from another log.
        """
        model = self._dynamics.describe()
        asked = " or ".join(map(str, self._card.model_servers))
        check_model(model, self._card.task, asked or "hand", self._card.data_sha256)
        self._truncation = pessimism.truncation(self._card.pessimism, model)

    def _identity(self, assignment: Assignment) -> Identity:
        return Identity(
            policy_version=self._held[1],
            epoch=self._held[0],
            worker=self._name,
            incarnation=self._incarnation,
            first=assignment.first,
        )
