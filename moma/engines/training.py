"""Trains with model servers, workers and the learner as roles of their own that speak gRPC."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from moma.engines import topology
from moma.engines.attendance import Attendance
from moma.engines.base import Engine, RoleSpec
from moma.engines.board import Board
from moma.engines.crew import Crew
from moma.engines.deployment import Deployment
from moma.engines.roles import learners, served, server_role, worker_role
from moma.engines.supervision import Supervisor
from moma.engines.topology import Further, Plan
from moma_core import documents
from moma_core.address import Address
from moma_core.config import Config
from moma_core.rpc import pool
from moma_core.rpc.trust import AUTHORITY, CLIENT, token_file
from moma_core.runtime import process
from moma_core.runtime.listening import LOOPBACK, Listening
from moma_core.runtime.progress import Progress
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import Stop

_LOOK_S = 0.2
_ROOM = 1 << 20
"""Bytes: with less than that free a disk counts as full."""
_GRACE_S = 14.0
"""For the learner's last checkpoint; with what follows it stays under 20 s."""
_HERE = Deployment()


def train(
    run: RunDirectory,
    config: Config,
    board: Board,
    stopping: Stop,
    engine: Engine,
    listening: Listening = LOOPBACK,
    deployment: Deployment = _HERE,
) -> tuple[bool, int]:
    """Starts all roles and keeps them alive until the learner is done.

    Args:
        run: where data and model lie already.
        config: the run's.
        board: told how far it is.
        stopping: true once the run shall be stopped.
        engine: where the roles are started.
        listening: where the learner listens, and with which keys of the run.
        deployment: on how many nodes they run.

    Returns:
        Whether the last round was reached, and the peak memory of all processes in bytes.
    """
    supervisor, full = Supervisor(engine, board.fault, stopping=stopping), False
    try:
        crew = _start(supervisor, run, config, listening, deployment)
        attendance = Attendance(board.fault, board.note)
        while not supervisor.over("learner") and not stopping():
            supervisor.watch()
            _show(supervisor, run, board)
            full = _tell_room(run, board, told=full)
            _scale(crew, board)
            if crew is not None:
                attendance.look(crew.names, _heard(board))
            time.sleep(_LOOK_S)
        return supervisor.done("learner"), supervisor.peak_rss
    finally:
        _show(supervisor, run, board)
        supervisor.stop(["learner"], _GRACE_S)
        board.processes = supervisor.table()


def plan(config: Config, deployment: Deployment = _HERE) -> Plan:
    """Returns what serves a run's model on its nodes, and who asks which."""
    cores = deployment.cores
    further = (cores,) * (deployment.nodes - 1)
    return topology.plan(
        cores=process.own_cores()[: deployment.node_cores or None],
        threads=config.threads or cores,
        workers=config.workers,
        servers=config.model_servers,
        device=config.device,
        dynamics=config.dynamics,
        further=Further(cores=further, placement=deployment.placement),
    )


def start_servers(
    supervisor: Supervisor,
    config: Config,
    model: Path,
    servers: Sequence[topology.Server],
    listening: Listening = LOOPBACK,
) -> list[Address]:
    """Starts the model servers of this node, all at once; returns where they are called.

    Args:
        supervisor: keeps them alive.
        config: the run's.
        model: the fitted model's directory.
        servers: the plan's.
        listening: where they listen, beyond loopback where other nodes call them.
    """
    roles = [
        server_role(
            f"model-server-{i}",
            served(config, model),
            one,
            deterministic=config.deterministic,
            listening=listening,
        )
        for i, one in enumerate(servers)
    ]
    for role in roles:
        supervisor.start(role)
    return [supervisor.address(role.name) for role in roles]


def _start(
    supervisor: Supervisor,
    run: RunDirectory,
    config: Config,
    listening: Listening,
    deployment: Deployment,
) -> Crew | None:
    """Starts the servers, then the learner, which is told them, then the workers.

    A further node joins as any other machine would, but by the run's own engine.

    Returns:
        The workers, where the algorithm needs any.
    """
    if not config.imagines:  # the learner needs the dataset alone, and nobody calls it
        for one in learners(run, config, [], LOOPBACK):
            supervisor.start(one)
        return None
    planned = [server for server in plan(config, deployment).servers if server.node == 0]
    called = _beside(listening) if deployment.placement == "central" else LOOPBACK
    servers = start_servers(supervisor, config, run.model, planned, called)
    for one in learners(run, config, servers, listening):
        supervisor.start(one)
    learner = supervisor.address("learner")
    join = ["--join", str(learner), *_shown(listening)]

    def role(number: int, count: int) -> RoleSpec:
        sized = plan(
            replace(config, workers=count, model_servers=len(servers)),
            replace(deployment, nodes=1),
        )
        worker = sized.workers[number]
        words = [*join, "--model-server", *map(str, pool.own_first(servers, worker.server))]
        return worker_role(f"worker-{number}", words, worker.core)

    def part(node: int, count: int) -> RoleSpec:
        return RoleSpec(
            name=f"node-{node}",
            package="moma",
            words=("work", *join, "--workers", str(count), "--device", config.device),
            listening=None,
            node=node,
            files=_shown_files(listening),
            joins=True,
        )

    crew = Crew(supervisor, role, part, deployment.nodes)
    crew.scale(config.workers)
    return crew


def _beside(listening: Listening) -> Listening:
    """Returns the learner's host with a free port; on loopback model servers need no keys."""
    if (listening.advertise or listening.listen).loopback:
        return LOOPBACK
    advertise = None if listening.advertise is None else replace(listening.advertise, port=0)
    return replace(listening, listen=replace(listening.listen, port=0), advertise=advertise)


def _scale(crew: Crew | None, board: Board) -> None:
    """Starts or ends workers where an operator wants another number of them."""
    wanted = board.progress.workers_wanted if board.progress is not None else None
    if crew is not None and wanted is not None and wanted != len(crew):
        board.note(f"{wanted} workers are wanted instead of {len(crew)}")
        crew.scale(wanted)


def _heard(board: Board) -> list[str]:
    """Returns the names of all that the learner has heard of."""
    return [] if board.progress is None else [role.name for role in board.progress.roles]


def _shown_files(listening: Listening) -> tuple[Path, ...]:
    """Returns the files that a further node shows, and knows the run's servers by."""
    if listening.keys is None:
        return ()
    named = (listening.keys / name for name in (token_file("worker"), AUTHORITY, CLIENT))
    return tuple(path for path in named if path.exists())


def _shown(listening: Listening) -> list[str]:
    """Returns the words that tell a worker what to show: files' places, never what they hold."""
    return (
        []
        if listening.keys is None
        else ["--token-file", str(listening.keys / token_file("worker"))]
    )


def _tell_room(run: RunDirectory, board: Board, *, told: bool) -> bool:
    """Says it once when the disk is full: who cannot write cannot write that down. True if it is.

    Args:
        run: the run.
        board: told.
        told: it was full when last looked at.
    """
    full = shutil.disk_usage(run.path).free < _ROOM
    if full and not told:
        board.fault(
            f"the disk of {run.path} is full: no checkpoint can be written; those that are there "
            "are whole, training goes on, and the next one is tried when it is due; free some space"
        )
    return full


def _show(supervisor: Supervisor, run: RunDirectory, board: Board) -> None:
    board.processes = supervisor.table()
    if run.progress.exists():
        board.update(documents.load(Progress, run.progress))
    else:
        board.tell("the processes start")
