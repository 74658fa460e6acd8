"""A run's keys: how servers know who calls, and how callers know that a server is the run's.

`moma keys DIR` makes the directory. Servers hold all of it; whoever calls them gets a token and the
authority's certificate by file. A token travels over TLS alone, and is never an argument of a
command, a variable, a line of a log or a setting.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Role = Literal["worker", "operator"]
ROLES: tuple[Role, ...] = ("worker", "operator")
"""A worker's token may work; an operator's may stop and scale the run as well."""
AUTHORITY, SERVER, CLIENT = "ca.pem", "server.pem", "client.pem"
"""The authority's certificate; certificate and key of servers, and of callers where those too have
to show one."""
SERVER_NAME = "moma"
"""The name in the servers' certificate that callers check, instead of the host's: a run's authority
signs for that run alone, and its servers come up on hosts that nobody knew before."""
_HEADER, _SCHEME = "authorization", "Bearer "
_LOOK_S = 0.5
"""Seconds for which tokens that were read are good: one that was replaced is refused after that."""
_OTHERS = 0o027
"""Permissions of a secret file that it must not have: writing by its group, and any by others."""


class DeniedError(PermissionError):
    """The peer refuses these keys, or is not the one that they are for; asking again is no use."""


class ForbiddenError(DeniedError):
    """The peer knows the caller, who may not ask this."""


def token_file(role: Role) -> str:
    """Returns the name of a role's token within the directory of keys."""
    return f"{role}.token"


@dataclass(frozen=True)
class Keys:
    """What a run's servers hold.

    Raises:
        ValueError: a file is missing or others may read it.
    """

    directory: Path
    """Directory that `moma keys` made."""

    def __post_init__(self) -> None:
        secret(self.directory / SERVER)
        _read(self.directory / AUTHORITY)
        for role in ROLES:
            secret(self.directory / token_file(role))

    @property
    def mutual(self) -> bool:
        """True where callers have to show a certificate as well."""
        return (self.directory / CLIENT).exists()

    def tokens(self) -> dict[Role, str]:
        """Returns each role's token as it is now; a role without a file has none."""
        found: dict[Role, str] = {}
        for role in ROLES:
            path = self.directory / token_file(role)
            if path.exists() and (token := secret(path).decode("ascii").strip()):
                found[role] = token
        return found

    def of(self, role: Role) -> Pass:
        """Returns what a caller in that role shows."""
        return Pass(token=self.directory / token_file(role))


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What a caller shows, and by what it knows a server: the places of files.

    Raises:
        ValueError: a file is missing or others may read it.
    """

    token: Path
    """File of the token."""
    ca: Path | None = None
    """File of the authority's certificate; None: `ca.pem` beside the token."""

    def __post_init__(self) -> None:
        secret(self.token)
        _read(self._authority)

    @property
    def _authority(self) -> Path:
        return self.ca or self.token.with_name(AUTHORITY)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns what goes with every call; the token is read anew, since it may be replaced."""
        return ((_HEADER, _SCHEME + secret(self.token).decode("ascii").strip()),)

    def authority(self) -> bytes:
        """Returns the certificate that a server's has to be signed by."""
        return _read(self._authority)

    def certificate(self) -> bytes | None:
        """Returns certificate and key to show; None where none lies beside the authority's."""
        path = self._authority.with_name(CLIENT)
        return secret(path) if path.exists() else None


class Guard:
    """Lets in who shows a token that is good for what is asked. Used from one thread.

    Args:
        keys: of the run; None: everybody may call, which is for loopback alone.
        clock: monotonic seconds.
    """

    def __init__(self, keys: Keys | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys, self._clock = keys, clock
        self._tokens: dict[Role, str] = {}
        self._until = 0.0

    def admit(self, metadata: Iterable[tuple[str, str | bytes]], *, operator: bool) -> None:
        """Returns if a call may go on.

        Args:
            metadata: what came with it.
            operator: it takes an operator's token.

        Raises:
            DeniedError: there is no token, or none that is known.
            ForbiddenError: the token is a worker's, and the call an operator's.
        """
        if self._keys is None:
            return
        shown = next((str(value) for name, value in metadata if name == _HEADER), "")
        role = self._role(shown)
        if role is None:
            raise DeniedError(
                "this run's servers take its tokens alone, and this call shows "
                + ("one that is unknown or revoked" if shown else "none: give --token-file")
            )
        if operator and role != "operator":
            raise ForbiddenError("this takes the run's operator token, and this is a worker's")

    def _role(self, shown: str) -> Role | None:
        assert self._keys is not None
        if self._clock() >= self._until:
            self._tokens = self._keys.tokens()
            self._until = self._clock() + _LOOK_S
        found: Role | None = None
        for role, token in self._tokens.items():  # all of them, whichever it is: equal time
            if hmac.compare_digest(shown.encode(), (_SCHEME + token).encode()):
                found = role
        return found


def secret(path: Path) -> bytes:
    """Reads a file that is for its owner.

    Raises:
        ValueError: it is missing, or others may read it.
    """
    content = _read(path)
    mode = path.stat().st_mode & 0o777
    if mode & _OTHERS:
        raise ValueError(f"{path} is a secret and others may read it: chmod 600 {path}")
    return content


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError(f"{path} is missing; a run's keys are made by: moma keys DIR")
    return path.read_bytes()
