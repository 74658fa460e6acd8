"""The learner's process, once its command line is read: it serves workers and learns."""

from __future__ import annotations

from threading import Event

from learner import build
from learner.command import Learn
from learner.loop import Peers
from moma_core import documents, tasks
from moma_core.rpc import pool
from moma_core.rpc.channel import StoppedError
from moma_core.rpc.learner import serve_learner
from moma_core.runtime import process
from moma_core.runtime.progress import Progress
from moma_core.runtime.run import RunDirectory
from moma_core.storage import write_text


def learn(args: Learn) -> int:
    """Learns until the last round or a stop; returns the exit status, 0 after the last round."""
    run = args.open()
    with run.hold("learn"):
        run.write_config(args.config)
        return _train(args, run, process.begin())


def _train(args: Learn, run: RunDirectory, stopping: Event) -> int:
    """Waits for the model, then learns until the last round or a stop."""
    config = args.config
    process.compute_on(config.threads)
    dataset = tasks.dataset(config, run.data)
    try:
        team = build.spec(dataset, config)
        card = pool.wait_for(args.model_server, team, stopping.is_set, process.say)
    except StoppedError:
        return process.STOPPED

    def tell(progress: Progress) -> None:
        write_text(run.progress, documents.dump(progress))

    peers = Peers(
        model_measured=card.measured,
        model_metrics=pool.Watched(args.model_server).metrics,
        progress=tell,
        stopping=stopping.is_set,
    )
    loop, service, writer = build.learner(run, config, dataset, args.model_server, peers)
    server = serve_learner(service, args.listen)
    process.announce(args.announce, "learner", server.address)
    try:
        loop.run()
        return 0 if loop.done else process.STOPPED
    finally:
        server.stop()
        writer.close()
