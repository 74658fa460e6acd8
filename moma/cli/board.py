"""TensorBoard of some runs, by their names, on loopback: `moma board RUN...`."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import tyro

from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from moma_core.runtime.run import RunDirectory

_FIRST = (
    "eval/return", "final/return", "charts/imagined_return", "estimate/return",
    "rollout/disagreement_mean", "rollout/outside_fraction", "rollout/cut_fraction",
)  # fmt: skip
"""Charts that the page opens on."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """Serves TensorBoard for some runs on loopback until it is told to stop."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Directories of the runs."""
    port: int = 6006
    """Port to listen on; 0: a free one."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    args = parse(Board, argv, "moma board")
    return process.main(lambda: _board(args))


def _board(args: Board) -> None:
    places = _named([RunDirectory.open(path.resolve()) for path in args.runs])
    stopping = process.begin()
    from tensorboard import program  # loads slowly

    logging.disable(logging.INFO)  # it tells of every look
    server = program.TensorBoard()
    spec = ",".join(f"{name}:{run.events}" for name, run in places.items())
    words = ["--logdir_spec", spec, "--host", "127.0.0.1", "--port", str(args.port)]
    server.configure(argv=["moma board", *words])
    try:
        url = server.launch()
    except program.TensorBoardServerException as error:
        raise ValueError(f"{error.msg}; --port 0 takes a free one") from error
    sys.stdout.write(f"{', '.join(places)}: {url}{_opening()}\n")
    sys.stdout.flush()
    stopping.wait()


def _named(runs: Sequence[RunDirectory]) -> dict[str, RunDirectory]:
    """Returns runs by names of which each is there once.

    Raises:
        ValueError: no run, or one in a place that TensorBoard cannot be told.
    """
    if not runs:
        raise ValueError("which run? moma board RUN..., directories of runs")
    names = [run.name for run in runs]
    found: dict[str, RunDirectory] = {}
    for run in runs:
        if {",", ":"} & set(str(run.path)):
            raise ValueError(f"{run.path}: TensorBoard takes no path with a comma or a colon")
        name = run.name if names.count(run.name) == 1 else f"{run.path.parent.name}/{run.name}"
        found[name if name not in found else str(run.path)] = run
    return found


def _opening() -> str:
    """Returns the part of the address that pins what matters to the top."""
    pinned = [{"plugin": "scalars", "tag": tag} for tag in _FIRST]
    return f"?pinnedCards={quote(json.dumps(pinned, separators=(',', ':')))}#timeseries"
