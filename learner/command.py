"""What `moma learn` may be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from moma_core.address import Address
from moma_core.runtime.commandline import RunCommand
from moma_core.runtime.listening import Listening


@dataclass(frozen=True, kw_only=True)
class Learn(RunCommand, Listening):
    """Trains the policies on what workers send; workers join with `moma work --join`."""

    model_server: tuple[Address, ...] = ()
    """HOST:PORT of the model servers, which workers are told; none where no model is needed."""
    rank: int = 0
    """Number of this process among --learners; 0 has the run, the others share its updates."""
    announce: Path | None = None
    """File to write the address to, once it is known."""
