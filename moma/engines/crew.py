"""A run's workers under one supervisor: as many as are wanted, more or fewer while it goes on."""

from __future__ import annotations

from collections.abc import Callable

from moma.engines.base import RoleSpec
from moma.engines.supervision import Supervisor


class Crew:
    """Starts workers and lets them go.

    Args:
        supervisor: keeps them alive.
        role: the worker of a number, from 0 on, for a crew of a size.
    """

    def __init__(self, supervisor: Supervisor, role: Callable[[int, int], RoleSpec]) -> None:
        self._supervisor, self._role = supervisor, role
        self._names: list[str] = []

    def __len__(self) -> int:
        return len(self._names)

    def scale(self, count: int) -> None:
        """Starts the workers that are missing, or asks the last ones to end after their piece."""
        for number in range(len(self), count):
            role = self._role(number, count)
            self._supervisor.start(role)
            self._names.append(role.name)
        while len(self) > count:
            self._supervisor.release(self._names.pop())
