"""How a run is reached by whoever operates it: by its directory, or by its learner's address."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil

from moma_core import documents
from moma_core.address import Address
from moma_core.rpc.trust import Keys, Pass
from moma_core.runtime.run import RunDirectory

_SAME_S = 1.0


def directory(run: str) -> RunDirectory | None:
    """Returns the run whose directory is named; None where an address is.

    Raises:
        ValueError: it is neither.
    """
    if Path(run).is_dir():
        return RunDirectory.open(Path(run))
    try:
        Address.parse(run)
    except ValueError as error:
        raise ValueError(
            f"{documents.printable(run)} holds no run, and is no HOST:PORT of a learner"
        ) from error
    return None


def learner(run: str, token_file: Path | None, ca: Path | None) -> tuple[Address, Pass | None]:
    """Returns where a run's learner is called and what to show it.

    Args:
        run: its directory, which says both where the keys lie on this machine, or HOST:PORT.
        token_file: of an operator's token; None: the directory's, or none on loopback.
        ca: file of the authority; None: beside the token.

    Raises:
        ValueError: the run has no learner yet, or the files are no keys.
    """
    trust = None if token_file is None else Pass(token=token_file.absolute(), ca=ca)
    found = directory(run)
    if found is None:
        return Address.parse(run), trust
    if not found.learner.is_file():
        raise ValueError(f"{run} has no learner yet; see: moma status {run}")
    said = documents.read(found.learner)
    if trust is None and said["keys"]:
        trust = Keys(Path(said["keys"])).of("operator")
    return Address.parse(said["address"]), trust


def own_process(run: RunDirectory) -> int | None:
    """Returns the number of this machine's process that runs the whole run; None: there is none.

    Raises:
        ValueError: what the directory says of it is no status.
    """
    if not run.status.is_file():
        return None
    said = documents.read(run.status)
    here = said.get("host") == socket.gethostname() and said.get("phase") != "end"
    return said["pid"] if here and runs(said["pid"], said.get("begun")) else None


def runs(number: int, begun: float | None = None) -> bool:
    """True while a process of this machine runs.

    Args:
        number: its number.
        begun: when it was started (`psutil.Process.create_time`); another one may have its number.
    """
    try:
        process = psutil.Process(number)
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and (begun is None or abs(process.create_time() - begun) < _SAME_S)
    except psutil.NoSuchProcess:
        return False
