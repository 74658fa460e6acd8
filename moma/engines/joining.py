"""Works for a run of another machine: told its address and a token, it asks for all the rest.

Where the run has model servers that can be called from here its workers ask those; else this
machine gets one of its own, with the run's model, fetched by digest.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from moma.engines import fetching, topology
from moma.engines.base import RoleSpec
from moma.engines.crew import Crew
from moma.engines.local import LocalEngine
from moma.engines.roles import server_role, worker_role
from moma.engines.supervision import Supervisor
from moma_core.address import Address
from moma_core.rpc import pool
from moma_core.rpc.channel import Patience
from moma_core.rpc.learner import LearnerClient
from moma_core.rpc.run import RunClient
from moma_core.rpc.trust import Pass
from moma_core.runtime import process
from moma_core.stopping import Stop
from moma_core.types import RunCard

_LOOK_S = 0.2
_PIECE_S, _GRACE_S = 8.0, 4.0
"""For workers to finish what they are at, and for all to end: together under 20 s."""


class Guest:
    """Workers for a run of another machine."""

    def __init__(
        self,
        learner: Address,
        trust: Pass | None,
        scratch: Path,
        stopping: Stop,
        say: Callable[[str], None],
        *,
        name: str = "",
        wait: float = 0.0,
    ) -> None:
        """Starts nothing yet.

        Args:
            learner: where the run's learner is called.
            trust: what to show it; None: plaintext, on loopback.
            scratch: an empty directory, for logs and the model.
            stopping: true once this shall end.
            say: takes a line for whoever watches.
            name: how its workers' names begin; this machine and this process follow.
            wait: minutes without an answer of the learner after which all end; 0: no such limit.
        """
        self._learner, self._trust, self._scratch = learner, trust, scratch
        self._stopping, self._say, self._wait = stopping, say, wait
        self._called = "-".join([*[name] * bool(name), socket.gethostname(), str(os.getpid())])
        self._engine = LocalEngine(scratch, scratch / "addresses")
        self._supervisor = Supervisor(self._engine, say, stopping=stopping)
        self._shown: dict[Path, int] = {}

    def work(self, workers: int, device: Literal["cpu", "cuda"]) -> bool:
        """Works until the run is over or this is stopped; returns whether it is over.

        Args:
            workers: processes that imagine.
            device: where a model server of this machine computes.

        Raises:
            StoppedError: it was stopped before it had begun.
            StorageError: what was fetched is not the run's model.
            ValueError: there is no model server, and no model to serve.
            RoleError: a process cannot be kept alive, or waited for the learner in vain.
            GoneError: the learner has not answered for as long as it was to be waited for.
        """
        whom, most_s = f"the learner at {self._learner}", 60 * self._wait or math.inf
        patience = Patience(whom, self._stopping, self._say, most_s=most_s)
        client = LearnerClient(self._learner, patience, self._trust)
        card = client.describe()
        client.close()
        planned = topology.plan(
            cores=process.own_cores(), threads=process.cores(), workers=workers, device=device
        )
        try:
            servers = self._serve(card, planned.servers, device, patience)
            crew = Crew(self._supervisor, lambda number, _: self._role(number, planned, servers))
            crew.scale(workers)
            self._say(f"{workers} workers of this machine join run {card.run} at {self._learner}")
            while not self._stopping() and not all(map(self._supervisor.done, crew.names)):
                self._supervisor.watch()
                self._echo()
                time.sleep(_LOOK_S)
            return not self._stopping()
        finally:
            self._leave()

    def _leave(self) -> None:
        """Lets the workers finish what they are at, while servers are there, and ends all."""
        until = time.monotonic() + _PIECE_S
        workers = {child.role for child in self._supervisor.table() if child.alive}
        for name in workers:
            if name.startswith(self._called):
                self._supervisor.release(name)
        while any(child.role.startswith(self._called) for child in self._supervisor.table()):
            if time.monotonic() >= until:
                break
            self._supervisor.watch()
            time.sleep(_LOOK_S)
        self._supervisor.stop([], _GRACE_S)
        self._echo()

    def _serve(
        self,
        card: RunCard,
        planned: tuple[topology.Server, ...],
        device: str,
        patience: Patience,
    ) -> list[Address]:
        """Starts model servers of this machine where the run has none that it can call."""
        if card.model_servers:
            return []
        if card.model is None:
            raise ValueError(
                f"run {card.run} has no model server that can be called from here, and no model to "
                "fetch: start its servers beyond loopback (moma serve --listen IP:PORT --keys DIR)"
            )
        path = self._scratch / "model"
        path.mkdir()
        client = RunClient(self._learner, patience, self._trust)
        fetching.fetch(client, card.model.digest, path)
        client.close()
        self._say(f"fetched the model {card.model.digest[:12]} of run {card.run}")
        served = ["--model", str(path), "--precision", card.model.precision, "--device", device]
        alone = card.model.deterministic
        roles = [
            server_role(f"model-server-{i}", served, one, deterministic=alone)
            for i, one in enumerate(planned)
        ]
        for role in roles:
            self._supervisor.start(role)
        return [self._supervisor.address(role.name) for role in roles]

    def _role(self, number: int, planned: topology.Plan, servers: list[Address]) -> RoleSpec:
        worker = planned.workers[number]
        words = ["--join", str(self._learner), "--wait", str(self._wait)]
        if self._trust is not None:
            words += ["--token-file", str(self._trust.token)]
            words += ["--ca", str(self._trust.ca)] if self._trust.ca is not None else []
        if servers:
            words += ["--model-server", *map(str, pool.own_first(servers, worker.server))]
        return worker_role(f"{self._called}-{number}", words, worker.core)

    def _echo(self) -> None:
        """Says what the processes warn of, which is in their logs."""
        for path in sorted(self._scratch.glob("*.log")):
            with path.open(encoding="utf-8", errors="replace") as log:
                log.seek(self._shown.get(path, 0))
                for line in log:
                    if " WARNING " in line or " ERROR " in line or line.startswith("error:"):
                        self._say(f"{path.stem}: {line.rstrip()}")
                self._shown[path] = log.tell()
