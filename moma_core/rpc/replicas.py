"""Several servers of one model as one `Dynamics`: one's own, and another while that is away."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from moma_core.address import Address
from moma_core.ports import BusyError, DeadlineError, UnavailableError
from moma_core.rpc import pool
from moma_core.rpc.channel import ExpiredError, Persistence
from moma_core.rpc.dynamics import DynamicsClient
from moma_core.rpc.trust import Pass
from moma_core.types import Metrics, ModelCard, Prediction, Query

T = TypeVar("T")
_RETURN_S = 5.0
"""Seconds after which a server that was away is asked again first."""


class Replicas:
    """The first of several servers that answers. Used from one thread.

    All of them hold one model: an answer names it, so that a rollout stays with one model wherever
    its answers come from.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        patience: Persistence,
        say: Callable[[str], None],
        trust: Pass | None = None,
    ) -> None:
        """Connects at the first call.

        Args:
            addresses: where the servers are called; the first one is one's own, and asked first.
            patience: how to ask where none of them answers.
            say: takes a line for whoever watches.
            trust: what to show those beyond loopback.

        Raises:
            ValueError: there is no server.
        """
        if not addresses:
            raise ValueError("no model server is named, need one HOST:PORT at least")
        self._addresses, self._trust = tuple(addresses), trust
        self._patience, self._say = patience, say
        self._clients: dict[Address, DynamicsClient] = {}
        self._away: dict[Address, float] = {}
        """Until when each that did not answer is asked last, in monotonic seconds."""

    def describe(self) -> ModelCard:
        """Returns the model's card."""
        return self._patience(lambda: self._first(lambda client: client.describe()))

    def predict(self, query: Query, deadline: float = math.inf) -> Prediction:
        """Predicts one step; a server that goes away meanwhile costs no more than its going."""
        return self._patience(lambda: self._first(lambda client: client.predict(query, deadline)))

    def metrics(self) -> Metrics:
        """Returns the counters of the server that answers."""
        return self._patience(lambda: self._first(lambda client: client.metrics()))

    def close(self) -> None:
        """Closes the channels."""
        for client in self._clients.values():
            client.close()

    def _first(self, ask: Callable[[DynamicsClient], T]) -> T:
        """Asks one after the other until one answers.

        Raises:
            BusyError: those that are there have no room; with the soonest time to ask again.
            UnavailableError: none is there.
            DeadlineError: none answers in time, or it would be too late.
        """
        found: OSError | None = None
        for address in self._order():
            try:
                answer = ask(self._client(address))
            except ExpiredError:
                raise
            except BusyError as error:
                before = found.retry_after_s if isinstance(found, BusyError) else math.inf
                found = error if error.retry_after_s < before else found
            except (UnavailableError, DeadlineError) as error:
                self._lost(address, error)
                found = found or error
            else:
                self._away.pop(address, None)
                return answer
        assert found is not None
        raise found

    def _order(self) -> list[Address]:
        """Returns whom to ask, those first who are not away, else as they were named."""
        now = time.monotonic()
        return sorted(self._addresses, key=lambda one: self._away.get(one, 0.0) > now)

    def _client(self, address: Address) -> DynamicsClient:
        if address not in self._clients:
            self._clients[address] = pool.server(address, trust=self._trust)
        return self._clients[address]

    def _lost(self, address: Address, error: OSError) -> None:
        if address not in self._away and len(self._addresses) > 1:
            self._say(f"the model server at {address} is away ({error}); asking another one")
        self._away[address] = time.monotonic() + _RETURN_S
