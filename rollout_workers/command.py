"""What `moma work` may be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from moma_core.address import Address


@dataclass(frozen=True, kw_only=True)
class Work:
    """Imagines segments for a learner until the run is over. Any number may join or leave."""

    join: Address
    """HOST:PORT of the run's learner."""
    token_file: Path | None = None
    """File of the run's worker token, made by `moma keys`; needed beyond loopback."""
    ca: Path | None = None
    """File of the authority that signed for the run's servers; default: ca.pem beside the token."""
    name: str = ""
    """Name of the worker, unique within the run; default: host and process number."""
    incarnation: int = 0
    """Number of times that this worker has been started before."""
    model_server: tuple[Address, ...] = ()
    """HOST:PORT of model servers, one's own first; default: those that the learner names."""
    wait: float = 0.0
    """Minutes without an answer of the learner after which it ends; 0: no such limit."""
    threads: int = 1
    """Torch threads."""
