"""A run's keys, without which nothing listens beyond loopback: `moma keys`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from moma_core.runtime import process
from moma_core.runtime.commandline import parse


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Makes a run's authority, its servers' certificate, a worker token and an operator token."""

    directory: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Directory of the keys; its secrets are for you alone (mode 0600)."""
    host: tuple[str, ...] = ()
    """Hosts that the certificate names too; ours check another name, other clients the host's."""
    days: int = 365
    """Days for which the certificates are good."""
    mutual: bool = False
    """A certificate for callers too, which servers with these keys then demand."""
    renew: Literal["worker", "operator"] | None = None
    """Role that gets a new token; its old one is refused from then on."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Keys, argv, "moma keys")
    return process.main(lambda: _keys(args))


def _keys(args: Keys) -> None:
    from moma.engines import keys  # loads what it signs with
    from moma_core.rpc.trust import AUTHORITY, CLIENT, token_file

    where = args.directory
    if args.renew is not None:
        if not (where / AUTHORITY).exists():
            raise ValueError(f"{where} holds no keys to renew; make them: moma keys {where}")
        keys.renew(where, args.renew)
        sys.stdout.write(f"a new {args.renew} token lies in {where}; the old one is refused now\n")
        return
    keys.make(where, args.host, args.days, mutual=args.mutual)
    certificate = f", {where / CLIENT}" if args.mutual else ""
    sys.stdout.write(
        f"keys in {where}\n"
        f"  run with them:       moma train RECIPE --listen IP:PORT --keys {where}\n"
        f"  for a worker's host: {where / token_file('worker')}, {where / AUTHORITY}{certificate}\n"
        f"                       moma work --join IP:PORT --token-file {token_file('worker')}\n"
        f"  for whoever stops or scales the run: {where / token_file('operator')} instead\n"
    )
