"""How the learners of a run find each other.

All of them are processes of one machine, on loopback: torch.distributed lets in whoever calls. The
first one holds the run: it has the rounds, the checkpoints and the log. The others take its state
and, round by round, what it learns from; they update alike, each on its share of every minibatch.
Where one is lost all end, and their supervisor starts them again from the newest checkpoint.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import distributed
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from learner.algorithms.group import ALONE, ANSWER_S, Group, PeerLostError, named
from learner.sharing import Lead, Member, there
from moma_core import documents
from moma_core.runtime import process
from moma_core.stopping import Stop, StoppedError
from moma_core.storage import write_text

_HOST = "127.0.0.1"
_LOOK_S = 0.05
_CONNECT_S = 2.0
"""Seconds to call the first learner, which is on this machine."""
_LATE_S = 20.0
"""Seconds after which learners that are missing at the start are named."""
_LOG = logging.getLogger(__name__)


def threads(asked: int, learners: int) -> int:
    """Returns the torch threads of each learner, which share those asked for; 0: torch's own."""
    return asked if learners == 1 else max(1, (asked or process.cores()) // learners)


@contextmanager
def leading(place: Path, learners: int, device: str, stopping: Stop) -> Iterator[Lead]:
    """Yields the first learner's side, once all others are there; after an error nobody is told.

    Args:
        place: file that says where the others find this one.
        learners: how many there are.
        device: where they compute.
        stopping: true once the process shall stop.

    Raises:
        StoppedError: the process was told to stop meanwhile.
        PeerLostError: another learner has ended meanwhile.
        ValueError: the machine has not the devices.
    """
    if learners == 1:
        yield Lead(ALONE, None, device)
        return
    _check_devices(learners, device)
    listening = socket.create_server((_HOST, 0))
    port = listening.getsockname()[1]
    store = TCPStore(
        _HOST, port, None, True, timedelta(seconds=ANSWER_S),
        wait_for_workers=False, master_listen_fd=listening.detach(),
    )  # fmt: skip
    place.parent.mkdir(exist_ok=True)
    write_text(place, json.dumps({"port": port, "pid": os.getpid()}))
    try:
        processes = [os.getpid(), *_arrived(store, learners, stopping)]
        store.set("processes", json.dumps(processes))
        lead = Lead(_formed(store, 0, processes, device), store, device)
        yield lead
        lead.end()
    finally:
        place.unlink(missing_ok=True)


def join(place: Path, rank: int, learners: int, device: str, stopping: Stop) -> Member:
    """Waits for the first learner, and for all others; returns this one's side.

    Args:
        place: file that says where the first one is.
        rank: this one's number.
        learners: how many there are.
        device: where they compute.
        stopping: true once the process shall stop.

    Raises:
        StoppedError: the process was told to stop meanwhile.
        PeerLostError: another learner has ended meanwhile.
        ValueError: the run has no such learner, or the machine has not the devices.
    """
    if not 0 < rank < learners:
        raise ValueError(f"--rank {rank}: the run has --learners {learners}")
    _check_devices(learners, device)
    store = _found(place, rank, stopping)
    try:
        while not there(store, "processes"):
            if stopping():
                raise StoppedError("stopped while the other learners were starting")
        processes = json.loads(store.get("processes"))
    except distributed.DistError as error:
        raise PeerLostError("the first learner has ended before all were there") from error
    return Member(_formed(store, rank, processes, device), store, device)


def _found(place: Path, rank: int, stopping: Stop) -> TCPStore:
    """Waits for a first learner that has had none of this number yet, and is that one of its."""
    had = None
    while not stopping():
        told = _told(place)
        if told not in (None, had):
            with suppress(distributed.DistError):  # it has just ended: wait for the next one
                store = TCPStore(
                    _HOST, int(told["port"]), None, False, timedelta(seconds=_CONNECT_S),
                    wait_for_workers=False,
                )  # fmt: skip
                if not store.check([_process(rank)]):
                    store.set(_process(rank), str(os.getpid()))
                    return store
                had = told
                words = "%s had a learner %d before; waiting until it begins again"
                _LOG.info(words, named(0, told["pid"]), rank)
        time.sleep(_LOOK_S)
    raise StoppedError("stopped while waiting for the first learner")


def _told(place: Path) -> Any:  # noqa: ANN401 - JSON
    """Returns where a first learner listens; None where none does."""
    try:
        told = documents.read(place)
        socket.create_connection((_HOST, int(told["port"])), _CONNECT_S).close()
    except OSError:
        return None
    return told


def _process(rank: int) -> str:
    return f"process/{rank}"


def _arrived(store: Store, learners: int, stopping: Stop) -> list[int]:
    """Waits for all other learners; returns their process numbers."""
    begun, late = time.monotonic(), False
    others = range(1, learners)
    while missing := [rank for rank in others if not store.check([_process(rank)])]:
        if stopping():
            raise StoppedError("stopped while the other learners were starting")
        if not late and time.monotonic() - begun >= _LATE_S:
            late = True
            names = ", ".join(f"learner-{rank}" for rank in missing)
            process.say(f"waiting for {names} since {_LATE_S:.0f} s")
        time.sleep(_LOOK_S)
    return [int(store.get(_process(rank))) for rank in others]


def _formed(store: Store, rank: int, processes: Sequence[int], device: str) -> Group:
    """Connects all learners with each other."""
    (loopback, *_) = [
        name
        for name, addresses in psutil.net_if_addrs().items()
        if any(one.address == _HOST for one in addresses)
    ]
    os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    group = Group(rank, processes)
    if device == "cuda":
        torch.cuda.set_device(rank)
    try:
        distributed.init_process_group(
            "nccl" if device == "cuda" else "gloo",
            store=PrefixStore("group", store),
            rank=rank,
            world_size=group.size,
            timeout=timedelta(seconds=ANSWER_S),
        )
    except RuntimeError as error:
        raise group.lost(error) from error
    return group


def _check_devices(learners: int, device: str) -> None:
    if device == "cuda" and torch.cuda.device_count() < learners:
        raise ValueError(
            f"--learners {learners} with --device cuda needs a GPU for each; this machine "
            f"has {torch.cuda.device_count()}"
        )
