"""The learner's process, once its command line is read: it serves workers and learns."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from threading import Event

from learner import build, clones
from learner.command import Learn
from learner.loop import Here, Loop, Peers
from moma_core import documents
from moma_core.rpc import pool
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.learner import serve_learner
from moma_core.runtime import process, subject
from moma_core.runtime.metrics import MetricsWriter
from moma_core.runtime.progress import Progress
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import STOPPED, StoppedError
from moma_core.storage import write_text


def learn(args: Learn, endpoint: Endpoint) -> int:
    """Learns until the last round or a stop; returns the exit status, 0 after the last round."""
    with args.opened() as run, run.hold("learn"):
        run.write_config(args.config)
        return _train(args, run, process.begin(), endpoint)


def _train(args: Learn, run: RunDirectory, stopping: Event, endpoint: Endpoint) -> int:
    """Learns until the last round or a stop, with workers where the algorithm needs any."""
    config, keys = args.config, endpoint.keys
    trust = None if keys is None else keys.of("worker")
    process.compute_on(config.threads)
    dataset = subject.dataset(config, run.data)

    def tell(progress: Progress) -> None:
        with suppress(OSError):  # whoever watches sees by its time that it is old
            write_text(run.progress, documents.dump(progress))

    if not run.subject.is_file():  # no `moma train` has written it
        subject.keep(run, config, dataset)
    peers = Peers(progress=tell, stopping=stopping.is_set)
    if not config.imagines:
        learned = build.algorithm(config, dataset, run.clones)
        counters = build.restore(learned, None, run.checkpoints)
        return _run(*build.loop(run, config, learned, Here(), counters, peers))
    team = subject.team(config, dataset)
    try:
        card = pool.wait_for(args.model_server, team, stopping.is_set, process.say, trust)
        wanted = clones.missing(config, dataset, run.clones)
        if dataset is not None and wanted:
            process.say("cloning the log's agents first")
            clones.make(config, dataset, run.clones, wanted, lambda _: None, stopping.is_set)
    except StoppedError:
        return STOPPED
    learned = build.algorithm(config, dataset, run.clones)
    begin = build.beginnings(config, dataset)
    counters = build.restore(learned, begin.carried, run.checkpoints)
    told = pool.reachable(args.model_server, endpoint.address)
    service = build.service(run, config, team, told, begin, counters)
    peers = replace(
        peers,
        model_measured=card.measured,
        model_metrics=pool.Watched(args.model_server, trust).metrics,
        carried=begin.carried,
    )
    loop, writer = build.loop(run, config, learned, service, counters, peers)
    server = serve_learner(service, endpoint)
    process.announce(args.announce, "learner", server.address)
    try:
        return _run(loop, writer)
    finally:
        server.stop()


def _run(loop: Loop, writer: MetricsWriter) -> int:
    try:
        loop.run()
        return 0 if loop.done else STOPPED
    finally:
        writer.close()
