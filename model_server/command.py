"""What `moma serve` may be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from moma_core.runtime.listening import Listening


@dataclass(frozen=True, kw_only=True)
class Serve(Listening):
    """Serves a fitted model, a simulator, or dynamics of your own until it is told to stop."""

    model: Path | None = None
    """Model directory, RUN/model, or the run's own; SIGHUP loads it anew."""
    simulator: str = ""
    """Task whose simulator to serve instead of a model."""
    dynamics: str = ""
    """Factory of a `Dynamics` to serve instead of a model: package.module:factory."""
    threads: int = 0
    """Batches that are run at once, each on a core of its own; 0: one per core."""
    direct: bool = False
    """Lone callers' batches run where they are awaited; for one thread on the CPU."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device that the model computes on."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of the hidden layers; auto: bf16 where the processor multiplies it natively."""
    deterministic: bool = False
    """One request a batch, so that its bits do not depend on its neighbours."""
    max_rows: int = 4096
    """Rows of one batch at most; a larger request still goes through, by itself."""
    queue_rows: int = 0
    """Rows that may wait before further requests are refused; 0: four batches."""
    announce: Path | None = None
    """File to write the address to, once it is known."""
