"""What all sections stand on: models on disk, matmul rates, how much time to take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.speed import sizes
from benchmarks.speed.matmul import Matmul, Shape
from benchmarks.speed.profile import Profile
from benchmarks.speed.sizes import Size
from benchmarks.speed.table import Row
from benchmarks.speed.timing import Effort
from model_server.world_model import files
from model_server.world_model.accelerator import Accelerated
from model_server.world_model.model import WorldModel
from moma_core import tasks
from moma_core.types import TaskSpec

ROWS = 1000
"""Of a call to the model."""


@dataclass(kw_only=True)
class Ground:
    """One run of the benchmark."""

    effort: Effort
    matmul: Matmul
    scratch: Path
    """A directory that is removed at the end."""
    say: Callable[[str], None]
    """Told what is being measured."""
    workers: Sequence[int]
    """Numbers of worker processes to imagine with."""
    rows: list[Row] = field(default_factory=list)
    """The table so far."""
    profiles: list[Profile] | None = None
    """Where the whole system's time goes; None: nobody asked."""
    wrong: list[str] = field(default_factory=list)
    """What was found to be wrong."""

    def directory(self, size: Size) -> Path:
        """Returns the directory of the size's model, written at the first call."""
        path = self.scratch / f"model-{size.name}"
        if not path.exists():
            sizes.write(size, task(size), path)
        return path

    def model(self, size: Size) -> WorldModel | Accelerated:
        """Loads the size's model as it is served: hidden layers in bf16 where that is native."""
        return files.load_on(size.device, self.directory(size), "auto")

    def found(self, name: str, size: Size) -> Row | None:
        """Returns a row of the table, if it is there already."""
        rows = (row for row in self.rows if (row.name, row.size) == (name, size.name))
        return next(rows, None)


def task(size: Size) -> TaskSpec:
    """Returns the team that the size is measured with."""
    return tasks.get(size.config.task).spec


def hidden(size: Size, rows: int) -> Shape:
    """Returns the product between two hidden layers of the size's model."""
    return Shape(rows=rows, width=size.model.width)


def shapes(size: Size) -> list[tuple[Shape, str]]:
    """Returns the matmuls, with their precisions, that the size's sections are compared with."""
    model = [hidden(size, rows) for rows in (ROWS, size.model.batch)]
    found = [(shape, precision) for shape in model for precision in ("fp32", "bf16")]
    return [*found, *((policy(size), name) for name in ("fp32", "bf16"))] if size.whole else found


def policy(size: Size) -> Shape:
    """Returns the product between two hidden layers of the actors in an update."""
    config = size.config
    return Shape(rows=config.ppo.minibatch, width=config.actor.width)
