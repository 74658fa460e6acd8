"""The seam between a run and wherever its roles are started: processes here, a cluster elsewhere.

An engine starts a role and tells what becomes of it; it decides nothing. What follows from a death
or from silence, and in which order all end, is `moma.engines.supervision`'s, for every engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from moma_core.address import Address
from moma_core.runtime.listening import Listening


@dataclass(frozen=True, kw_only=True)
class RoleSpec:
    """One role of a run, as it is started for the first time and again."""

    name: str
    """Unique within the run."""
    package: str
    """The Python package whose `__main__` plays it."""
    words: tuple[str, ...] = ()
    """Command line, without the words that only an engine knows (`own_words`)."""
    listening: Listening | None
    """Place where peers call it, which it announces; None: nobody does, and it has a name."""
    core: int | None = None
    """The only core that it may run on; None: any."""
    node: int = 0
    """Node of the run that it runs on; the first one has the learner and whoever supervises."""
    files: tuple[Path, ...] = ()
    """Files among its words, or beside them, for engines whose nodes share no disk."""
    joins: bool = False
    """Part of the run that names its own roles: all the workers of a further node."""
    leads: bool = False
    """End of the whole run where it ends: told to stop by its peers, it is not started again."""


def own_words(
    role: RoleSpec, incarnation: int, address: Address | None, announce: str
) -> list[str]:
    """Returns what a role is told beside its own words: where to listen, or who it is.

    Args:
        role: what is started.
        incarnation: how often it was started before.
        address: where it was called before, whose port it is to have again; None: it was not.
        announce: the file that is to hold the address once it is known.
    """
    if (told := role.listening) is not None:
        if address is not None and not told.listen.port:
            told = replace(told, listen=replace(told.listen, port=address.port))
        return [*told.words(), "--announce", announce]
    named = ["--name", role.name]
    return named if role.joins else [*named, "--incarnation", str(incarnation)]


@runtime_checkable
class Started(Protocol):
    """A role that was started once. Nothing here waits."""

    @property
    def host(self) -> str:
        """Name of the machine that it runs on."""

    @property
    def number(self) -> int:
        """Its process number, where it runs."""

    def status(self) -> int | None:
        """Returns its exit status, a signal's number negated; None while it runs."""

    def address(self) -> Address | None:
        """Returns where peers call it; None while it has not said so."""

    def silent_s(self) -> float:
        """Returns the seconds since its last sign of life."""

    def memory(self) -> int:
        """Returns the bytes that it holds; 0 once it has ended."""

    def tail(self) -> str:
        """Returns the end of its log."""

    def ask(self) -> None:
        """Asks it to end."""

    def kill(self) -> None:
        """Ends it at once."""


@runtime_checkable
class Engine(Protocol):
    """Somewhere roles can run."""

    def start(self, role: RoleSpec, incarnation: int, address: Address | None) -> Started:
        """Starts a role and does not wait for it.

        Args:
            role: what to start.
            incarnation: how often it was started before.
            address: where it was called before, to be called there again; None: anywhere.
        """


class Nodes:
    """Several machines as one engine: each role is started on its node.

    Args:
        engines: of each node.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = engines

    def start(self, role: RoleSpec, incarnation: int, address: Address | None) -> Started:
        """Starts a role on its node.

        Args:
            role: what to start.
            incarnation: how often it was started before.
            address: where it was called before.
        """
        return self._engines[role.node].start(role, incarnation, address)
