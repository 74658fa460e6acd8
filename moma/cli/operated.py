"""What every command that operates a run is told: which run, and what to show its learner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from moma.engines import operating

if TYPE_CHECKING:
    from moma_core.rpc.run import RunClient


@dataclass(frozen=True, kw_only=True)
class Operated:
    """A run that is operated."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|HOST:PORT")]
    """Directory of the run, or address of its learner."""
    token_file: Path | None = None
    """File of the run's operator token; default: the one that the run's directory names."""
    ca: Path | None = None
    """File of the authority that signed for the run's servers; default: ca.pem beside the token."""

    @contextmanager
    def client(self) -> Iterator[RunClient]:
        """Yields what asks the run's learner.

        Raises:
            ValueError: the run has no learner, or the files are no keys.
        """
        from moma_core.rpc.run import RunClient  # loads torch

        address, trust = operating.learner(self.run, self.token_file, self.ca)
        client = RunClient(address, trust=trust)
        try:
            yield client
        finally:
            client.close()
