"""The learner's side of `benchmarks.scale.stubs`: the real service behind the real server.

It says where it listens, takes round after round, and says what it counted once standard input
closes. What an update costs is an argument: it sleeps, so that what is measured is the service.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread

from learner.service import LearnerService
from learner.starts import drawing
from moma_core import recipes
from moma_core.address import Address
from moma_core.config import Config, PessimismConfig
from moma_core.datasets import StartSampler
from moma_core.nets.policy import Actors
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.learner import serve_learner
from moma_core.runtime import process, subject
from moma_core.types import PolicySnapshot, RunCard

RECIPE = "reacher-tiny"
_LOOK_S = 0.5


def service(config: Config, scratch: Path) -> LearnerService:
    """Builds a learner's service with a log of its own and no model to compare with.

    Args:
        config: with the rows and the horizon of a round.
        scratch: where the log is made.
    """
    dataset = subject.dataset(config, scratch / "data")
    assert dataset is not None
    card = RunCard(
        run="fed", task=dataset.spec, model_servers=(Address("127.0.0.1", 9),), model=None,
        rollout=config.rollout, together=0, pessimism=config.pessimism, actor=config.actor,
    )  # fmt: skip
    starts = StartSampler(dataset, config.actor.history, config.rollout.episode_starts)
    return LearnerService(card, drawing(starts, config.seed))


@dataclass
class Taken:
    """What rounds were made of."""

    pieces: int = 0
    """Segments so far."""
    workers: int = 0
    """Workers of the last round."""


def take(fed: LearnerService, config: Config, update_s: float, over: Event, taken: Taken) -> None:
    """Takes round after round and publishes the same policy under the next version.

    Args:
        fed: the service.
        config: the actors'.
        update_s: seconds of an update.
        over: set once it shall stop.
        taken: told what rounds were made of.
    """
    actors = Actors(fed.describe().task, config.actor, config.seed)
    snapshot = PolicySnapshot(version=0, parameters=actors.state_dict())
    while not over.is_set():
        fed.publish(snapshot)
        while (made := fed.gather(_LOOK_S)) is None and not over.is_set():
            pass
        taken.pieces += len(made or ())
        taken.workers = len({one.worker for one in made or ()})
        time.sleep(update_s)
        snapshot = replace(snapshot, version=snapshot.version + 1)


def serve(rows: int, horizon: int, lag: int, update_s: float) -> None:
    """Serves until standard input closes; prints an address, then what was counted.

    Args:
        rows: rollouts of a round.
        horizon: steps of a rollout.
        lag: age of policies, in updates.
        update_s: seconds of an update.
    """
    process.compute_on(1)
    process.open_many_files()
    config = recipes.get(RECIPE)
    rollout = replace(config.rollout, rows=rows, horizon=horizon, lag=lag)
    config = replace(config, rollout=rollout, pessimism=PessimismConfig(cut=1e9))
    over, taken = Event(), Taken()
    with tempfile.TemporaryDirectory() as scratch:
        fed = service(config, Path(scratch))
        server = serve_learner(fed, Endpoint())
        loop = Thread(target=take, args=(fed, config, update_s, over, taken))
        loop.start()
        print(json.dumps({"address": str(server.address)}), flush=True)
        for _ in sys.stdin:  # a line asks for the counters
            told = fed.counters() | {
                "round": float(fed.fetch_policy().version),
                "pieces": float(taken.pieces),
                "workers in a round": float(taken.workers),
            }
            print(json.dumps(told), flush=True)
        over.set()
        fed.finish()
        loop.join()
        server.stop(0.0)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
