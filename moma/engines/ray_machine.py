"""A further node's side of Ray's engine: an actor that starts processes there and tells of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from moma.engines.base import RoleSpec
from moma.engines.local import LocalEngine, LocalProcess

_SAID = 1 << 16
"""Bytes of a role's log that are told at once."""


@dataclass(frozen=True)
class Report:
    """What an actor says of a role."""

    host: str
    number: int
    status: int | None
    address: str | None
    silent_s: float
    memory: int
    tail: str
    said: str
    """Text of its log since it was last told."""


class Machine:
    """An actor: a node's processes. It ends with its node, and they end with it."""

    def __init__(self) -> None:
        self._scratch = TemporaryDirectory(prefix="moma-ray-")
        here = Path(self._scratch.name)
        (here / "logs").mkdir()
        self._engine = LocalEngine(here / "logs", here / "addresses")
        self._started: dict[str, LocalProcess] = {}
        self._told: dict[str, int] = {}

    def start(self, key: str, role: RoleSpec, incarnation: int, files: dict[str, bytes]) -> None:
        """Starts a role, with its files in this node's own directory."""
        place = Path(self._scratch.name) / "files" / key
        place.mkdir(parents=True, mode=0o700)
        here = {path: str(place / Path(path).name) for path in files}
        for path, content in files.items():
            file = os.open(here[path], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(file, "wb") as opened:
                opened.write(content)
        words = tuple(here.get(word, word) for word in role.words)
        self._started[key] = self._engine.start(replace(role, words=words), incarnation, None)

    def report(self) -> dict[str, Report]:
        """Says what became of each role."""
        found = {}
        for key, process in self._started.items():
            status, address = process.status(), process.address()
            found[key] = Report(
                host=process.host,
                number=process.number,
                status=status,
                address=None if address is None else str(address),
                silent_s=process.silent_s(),
                memory=process.memory(),
                tail=process.tail(),
                said=self._said(key.rpartition(".")[0]),
            )
        return found

    def _said(self, name: str) -> str:
        with (Path(self._scratch.name) / "logs" / f"{name}.log").open("rb") as log:
            log.seek(self._told.get(name, 0))
            text = log.read(_SAID)
            self._told[name] = log.tell()
        return text.decode(errors="replace")

    def ask(self, key: str) -> None:
        """Asks a role to end."""
        self._started[key].ask()

    def kill(self, key: str) -> None:
        """Ends a role at once."""
        self._started[key].kill()

    def close(self) -> None:
        """Ends all roles, and leaves no file behind."""
        for process in self._started.values():
            if process.status() is None:
                process.kill()
        self._scratch.cleanup()
