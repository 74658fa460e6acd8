"""A run's workers under one supervisor: as many as are wanted, more or fewer while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from moma.engines import topology
from moma.engines.base import RoleSpec
from moma.engines.supervision import Supervisor


class Crew:
    """Starts workers and lets them go, on one node or spread over several.

    Args:
        supervisor: keeps them alive.
        role: the worker of a number, from 0 on, for so many of them on this node.
        part: a further node's part of the run, for so many workers there; None: there is none.
        nodes: how many there are.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        role: Callable[[int, int], RoleSpec],
        part: Callable[[int, int], RoleSpec] | None = None,
        nodes: int = 1,
    ) -> None:
        self._supervisor, self._role, self._part = supervisor, role, part
        self._names: list[str] = []
        self._parts: dict[int, tuple[str, int]] = {}
        """By node, the name of its part and how many workers that has."""
        self._nodes, self._started = nodes, 0

    @property
    def names(self) -> list[str]:
        """The workers of this node, and the other nodes' parts."""
        return [*self._names, *(name for name, _ in self._parts.values())]

    def __len__(self) -> int:
        return len(self._names) + sum(count for _, count in self._parts.values())

    def scale(self, count: int) -> None:
        """Starts the workers that are missing, or asks the last ones to end after their piece."""
        own, *others = topology.shares(count, self._nodes)
        for number in range(len(self._names), own):
            role = self._role(number, own)
            self._supervisor.start(role)
            self._names.append(role.name)
        while len(self._names) > own:
            self._supervisor.release(self._names.pop())
        for node, share in enumerate(others, 1):
            self._resize(node, share)

    def _resize(self, node: int, count: int) -> None:
        """Lets a node's part go, whose last pieces are still taken, and starts one of this size."""
        assert self._part is not None
        name, had = self._parts.pop(node, ("", 0))
        if had == count and name:
            self._parts[node] = (name, had)
            return
        if name:
            self._supervisor.release(name)
        if count:
            role = self._part(node, count)
            if self._started >= self._nodes - 1:  # a name of its own: the one before may yet run
                role = replace(role, name=f"{role.name}-{self._started}")
            self._started += 1
            self._supervisor.start(role)
            self._parts[node] = (role.name, count)
