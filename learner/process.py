"""The learner's process, once its command line is read: it serves workers and learns."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Event

from learner import build, clones, rendezvous
from learner.algorithms.group import PeerLostError
from learner.command import Learn
from learner.desk import Desk
from learner.loop import Here, Loop, Peers
from learner.service import LearnerService
from learner.verifying import Verifier
from moma_core import documents
from moma_core.datasets import Dataset
from moma_core.rpc import pool
from moma_core.rpc.channel import once
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.learner import serve_learner
from moma_core.rpc.replicas import Replicas
from moma_core.runtime import process, subject
from moma_core.runtime.metrics import MetricsWriter
from moma_core.runtime.progress import RoleSeen
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import PEER_LOST, STOPPED, StoppedError
from moma_core.storage import MANIFEST
from moma_core.types import ModelCard

_FAREWELL_S = 6.0
"""For workers to hear that the run is over; one that does not waits for the next learner."""


def learn(args: Learn, endpoint: Endpoint) -> int:
    """Learns until the last round or a stop; returns the exit status, 0 after the last round."""
    stopping = process.begin()
    process.compute_on(rendezvous.threads(args.config.threads, args.config.learners))
    try:
        with args.opened() as run, run.hold(f"learn-{args.rank}" if args.rank else "learn"):
            if args.rank:
                return _beside(args, run, stopping)
            dataset = subject.dataset(args.config, run.data)
            if args.announce is None or not run.subject.is_file():  # else who started it has
                subject.keep(run, args.config, dataset)
            run.write_config(args.config)
            if args.config.imagines:
                return _with_workers(args, run, dataset, stopping, endpoint)
            return _alone(args, run, dataset, stopping)
    except StoppedError:
        return STOPPED
    except PeerLostError as error:
        process.say(f"{error}; all learners begin again from the newest checkpoint")
        return PEER_LOST


def _beside(args: Learn, run: RunDirectory, stopping: Event) -> int:
    """Takes part in another learner's updates until the run is over."""
    config = args.config
    member = rendezvous.join(
        run.learners, args.rank, config.learners, config.device, stopping.is_set
    )
    dataset = subject.dataset(config, run.data)
    learned = build.algorithm(config, dataset, run.clones, member.group)
    member.take(learned, stopping.is_set)
    for segments in member.rounds(stopping.is_set):
        learned.update(segments)
    return 0


def _alone(args: Learn, run: RunDirectory, dataset: Dataset | None, stopping: Event) -> int:
    """Learns until the last round or a stop where the algorithm needs nobody's work."""
    config = args.config
    with rendezvous.leading(run.learners, config.learners, config.device, stopping.is_set) as lead:
        learned = build.algorithm(config, dataset, run.clones, lead.group)
        counters = build.restore(learned, None, run.checkpoints, _log(run))
        lead.share(learned)
        desk = Desk(run.progress, stopping.set)
        peers = Peers(progress=desk.tell, stopping=stopping.is_set, others=lead.tell)
        with desk.open():
            return _run(*build.loop(run, config, learned, Here(), counters, peers))


def _with_workers(
    args: Learn, run: RunDirectory, dataset: Dataset | None, stopping: Event, endpoint: Endpoint
) -> int:
    """Learns until the last round or a stop from what workers send."""
    config, keys = args.config, endpoint.keys
    trust = None if keys is None else keys.of("worker")
    team = subject.team(config, dataset)
    card = pool.wait_for(args.model_server, team, stopping.is_set, process.say, trust, _log(run))
    wanted = clones.missing(config, dataset, run.clones)
    if dataset is not None and wanted:
        process.say("cloning the log's agents first")
        clones.make(config, dataset, run.clones, wanted, lambda _: None, stopping.is_set)
    with rendezvous.leading(run.learners, config.learners, config.device, stopping.is_set) as lead:
        learned = build.algorithm(config, dataset, run.clones, lead.group)
        begin = build.beginnings(config, dataset)
        counters = build.restore(learned, begin.carried, run.checkpoints, _log(run))
        lead.share(learned)
        told, model = pool.reachable(args.model_server, endpoint.address), _own_model(run, card)
        service = build.service(run, config, card, told, model, begin, counters)
        if config.verify_share:
            servers = Replicas(args.model_server, once, process.say, trust)
            service.verify = Verifier(
                service.describe(), card, servers, config.verify_share, config.precision
            )
        watched = pool.Watched(args.model_server, trust)
        roles = partial(_roles, service, watched)
        desk = Desk(run.progress, stopping.set, model, roles)
        peers = Peers(
            progress=desk.tell,
            stopping=stopping.is_set,
            model_measured=card.measured,
            model_metrics=watched.metrics,
            others=lead.tell,
            carried=begin.carried,
        )
        loop, writer = build.loop(run, config, learned, service, counters, peers)
        server = serve_learner(service, endpoint, desk)
        run.addresses.mkdir(exist_ok=True)
        place = None if keys is None else keys.directory
        process.announce(args.announce or run.learner, "learner", server.address, place)
        try:
            with desk.open():
                status = _run(loop, writer)
                service.farewell(_FAREWELL_S)
                return status
        finally:
            server.stop()


def _roles(service: LearnerService, watched: pool.Watched) -> list[RoleSeen]:
    servers = [
        RoleSeen(name=f"model server {address}", seen_s=round(since_s, 1), rate=round(rate, 1))
        for address, (since_s, rate) in watched.seen().items()
    ]
    return [*service.roles(), *servers]


def _log(run: RunDirectory) -> str:
    """Returns the digest of the run's log; empty where it has none."""
    return subject.kept(run).data_sha256


def _own_model(run: RunDirectory, served: ModelCard) -> Path | None:
    """Returns the run's own model where it is the one that is served."""
    if not (run.model / MANIFEST).exists():
        return None
    files = documents.read(run.model / MANIFEST)["files"]
    digests = {entry["sha256"] for entry in files.values()}
    return run.model if served.digest in digests else None


def _run(loop: Loop, writer: MetricsWriter) -> int:
    try:
        loop.run()
        return 0 if loop.done else STOPPED
    finally:
        writer.close()
