"""The whole algorithm in one process, without a socket: read it first."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from learner import build
from learner.loop import Peers
from moma import fitting
from moma.engines.board import Board
from moma_core import tasks
from moma_core.checks import check_model
from moma_core.config import Config
from moma_core.runtime import process
from moma_core.runtime.run import RunDirectory
from rollout_workers.worker import Worker


def train(
    run: RunDirectory, config: Config, board: Board, stopping: Callable[[], bool]
) -> tuple[bool, int]:
    """Imagines and improves in turn until the last round.

    Returns:
        Whether the last round was reached, and the peak memory of this process in bytes.
    """
    process.compute_on(config.threads)
    dataset = tasks.dataset(config, run.data)
    model = fitting.dynamics(run, config)
    check_model(model.describe(), build.spec(dataset, config), "this process")
    peers = Peers(
        model_measured=model.describe().measured,
        model_metrics=model.metrics,
        progress=board.update,
        stopping=stopping,
    )
    loop, service, writer = build.learner(run, config, dataset, [], peers)
    peak = 0
    try:
        worker = Worker(service, model, "local", wait_s=0.0)
        while not loop.done and not stopping():
            worker.step()
            if loop.round(wait_s=0.0):
                peak = max(peak, psutil.Process().memory_info().rss)
        service.finish()
        loop.save()
    finally:
        writer.close()
    return loop.done, peak
