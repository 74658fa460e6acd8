"""The learner's process: `moma learn`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from learner import build
from learner.loop import Peers
from moma_core import documents, tasks
from moma_core.address import FREE, Address
from moma_core.rpc import pool
from moma_core.rpc.channel import StoppedError
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.learner import serve_learner
from moma_core.runtime import process
from moma_core.runtime.commandline import RunCommand, parse_run
from moma_core.runtime.run import RunDirectory
from moma_core.storage import write_text
from moma_core.types import Progress


@dataclass(frozen=True, kw_only=True)
class Learn(RunCommand):
    """Trains the policies on what workers send; workers join with `moma work --learner`."""

    model_server: tuple[Address, ...]
    """HOST:PORT of the model servers; workers are told them."""
    listen: Address = FREE
    """HOST:PORT; port 0 takes a free one and says which."""
    announce: Path | None = None
    """A file to write the address to, once it is known."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _learn(parse_run(Learn, argv, "moma learn")))


def _learn(args: Learn) -> int:
    run = args.open()
    with run.hold("learn"):
        run.write_config(args.config)
        return _train(args, run, process.begin())


def _train(args: Learn, run: RunDirectory, stopping: Event) -> int:
    """Waits for the model, then learns until the last round or a stop."""
    config, endpoint = args.config, Endpoint(bind=args.listen)
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
    server = serve_learner(service, endpoint)
    process.announce(args.announce, "learner", server.address)
    try:
        loop.run()
        return 0 if loop.done else process.STOPPED
    finally:
        server.stop()
        writer.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
