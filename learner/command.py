"""What `moma learn` may be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from moma_core.address import FREE, Address
from moma_core.runtime.commandline import RunCommand


@dataclass(frozen=True, kw_only=True)
class Learn(RunCommand):
    """Trains the policies on what workers send; workers join with `moma work --learner`."""

    model_server: tuple[Address, ...] = ()
    """HOST:PORT of the model servers, which workers are told; none where no model is needed."""
    listen: Address = FREE
    """HOST:PORT to listen on; port 0 takes a free one and says which."""
    announce: Path | None = None
    """File to write the address to, once it is known."""
