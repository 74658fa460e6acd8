"""The servers of a run's one model together, as their callers see them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from moma_core.address import Address
from moma_core.checks import check_model
from moma_core.ports import DeadlineError, UnavailableError
from moma_core.rpc.channel import Patience, Persistence, once
from moma_core.rpc.dynamics import DynamicsClient
from moma_core.rpc.trust import Pass
from moma_core.stopping import Stop
from moma_core.types import Metrics, ModelCard, TaskSpec


def server(
    address: Address, patience: Persistence = once, trust: Pass | None = None
) -> DynamicsClient:
    """Returns a client of a model server.

    One on loopback is this machine's own and called in plaintext, whatever there is to show.

    Args:
        address: where it is called.
        patience: how to ask.
        trust: what to show it beyond loopback.
    """
    return DynamicsClient(address, patience, None if address.loopback else trust)


def reachable(addresses: Sequence[Address], learner: Address) -> tuple[Address, ...]:
    """Returns the servers that whoever can call the learner can call as well."""
    return tuple(one for one in addresses if learner.loopback or not one.loopback)


def own_first(addresses: Sequence[Address], own: int) -> tuple[Address, ...]:
    """Returns the servers as a worker asks them: its own, then those after it, all around."""
    return (*addresses[own:], *addresses[:own])


def wait_for(
    addresses: Sequence[Address],
    task: TaskSpec,
    stopping: Stop,
    say: Callable[[str], None],
    trust: Pass | None = None,
    data_sha256: str = "",
) -> ModelCard:
    """Waits until all servers answer; returns their model's card.

    Args:
        addresses: where every server is called.
        task: the run's; the model must have been fitted for it.
        stopping: true once the process shall stop.
        say: takes a line for whoever watches.
        trust: what to show those beyond loopback.
        data_sha256: digest of the run's log; empty: it has none.

    Raises:
        StoppedError: the process was told to stop meanwhile.
        ValueError: no server, a model made for another task or from another log, or two servers
            with two models.
    """
    if not addresses:
        raise ValueError("no model server is named, need one HOST:PORT at least")
    cards: dict[Address, ModelCard] = {}
    for address in addresses:
        patience = Patience(f"the model server at {address}", stopping, say)
        asked = server(address, patience, trust)
        cards[address] = asked.describe()
        asked.close()
        check_model(cards[address], task, str(address), data_sha256)
    digests = {str(address): card.digest for address, card in cards.items()}
    if len(set(digests.values())) != 1:
        raise ValueError(f"the model servers hold different models: {digests}")
    return cards[addresses[0]]


class Watched:
    """Asks all servers for their counters; one that is away is left out."""

    def __init__(self, addresses: Sequence[Address], trust: Pass | None = None) -> None:
        self._clients = {address: server(address, trust=trust) for address in addresses}
        self._answers: dict[Address, tuple[float, float, float]] = {}
        """When each answered last, in monotonic seconds, its rows then, and rows per second."""

    def close(self) -> None:
        """Closes the channels."""
        for client in self._clients.values():
            client.close()

    def seen(self) -> dict[Address, tuple[float, float]]:
        """Returns of each server that has answered: seconds since then, and rows per second."""
        now = time.monotonic()
        return {one: (now - at, rate) for one, (at, _, rate) in list(self._answers.items())}

    def metrics(self) -> Metrics:
        """Returns the counters of all servers together."""
        found = []
        for address, client in self._clients.items():
            try:
                found.append(client.metrics())
            except (UnavailableError, DeadlineError):
                continue
            self._note(address, found[-1].get("model_server/rows", 0.0))
        return together(found)

    def _note(self, address: Address, rows: float) -> None:
        now = time.monotonic()
        before, counted, _ = self._answers.get(address, (now, rows, 0.0))
        self._answers[address] = now, rows, (rows - counted) / max(1e-3, now - before)


def together(parts: Sequence[Metrics]) -> Metrics:
    """Adds counts up; milliseconds are the slowest server's."""
    whole: dict[str, float] = {}
    for name in sorted({name for part in parts for name in part}):
        values = [part[name] for part in parts if name in part]
        whole[name] = max(values) if "_ms_" in name else sum(values)
    if "model_server/rows_per_batch" in whole:
        batches = max(1.0, whole["model_server/batches"])
        whole["model_server/rows_per_batch"] = whole["model_server/rows"] / batches
    return whole
