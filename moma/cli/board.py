"""TensorBoard of some runs, by their names, on loopback: `moma board RUN...`."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import tyro

from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from moma_core.runtime.run import RunDirectory

if TYPE_CHECKING:
    from moma.reports.run.wall import Wall

_AGAIN_S = 30.0
"""Seconds between two looks for pictures that a run has by now."""
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
    runs = _named([RunDirectory.open(path.resolve()) for path in args.runs])
    stopping = process.begin()
    with TemporaryDirectory(prefix="moma-board-") as room:
        for name, run in runs.items():
            Path(room, name).symlink_to(run.events)
        walls = _walls({run: Path(room, f"{name} pictures") for name, run in runs.items()})
        sys.stdout.write(f"{', '.join(runs)}: {_served(room, args.port)}{_opening()}\n")
        sys.stdout.flush()
        while not stopping.is_set():
            for wall in walls:
                if missing := wall.refresh():
                    sys.stderr.write(f"no pictures of the log: {missing}\n")
            stopping.wait(_AGAIN_S)


def _served(room: str, port: int) -> str:
    """Starts TensorBoard in this process.

    Its directories' names are its runs': by `--logdir_spec` they would end in "/.".
    """
    from tensorboard import program  # loads slowly

    logging.disable(logging.INFO)  # it tells of every look
    server = program.TensorBoard()
    words = ["--logdir", room, "--load_fast", "false", "--host", "127.0.0.1", "--port", str(port)]
    server.configure(argv=["moma board", *words])
    try:
        url: str = server.launch()
    except program.TensorBoardServerException as error:
        raise ValueError(f"{error.msg}; --port 0 takes a free one") from error
    return url


def _walls(places: Mapping[RunDirectory, Path]) -> list[Wall]:
    """Returns where runs' pictures hang; none where nothing draws them."""
    try:
        from moma.reports.run.wall import Wall  # matplotlib is an extra
    except ModuleNotFoundError as error:
        if error.name not in ("matplotlib", "jinja2"):
            raise
        sys.stderr.write(f'no pictures: they need {error.name}: pip install "moma-ppo[data]"\n')
        return []
    return [Wall(run, place) for run, place in places.items()]


def _named(runs: Sequence[RunDirectory]) -> dict[str, RunDirectory]:
    """Returns runs by names of which each is there once.

    Raises:
        ValueError: no run.
    """
    if not runs:
        raise ValueError("which run? moma board RUN..., directories of runs")
    names = [run.name for run in runs]
    found: dict[str, RunDirectory] = {}
    for run in runs:
        name = run.name if names.count(run.name) == 1 else f"{run.path.parent.name}, {run.name}"
        found[name if name not in found else f"{name} {len(found)}"] = run
    return found


def _opening() -> str:
    """Returns the part of the address that pins what matters to the top."""
    pinned = [{"plugin": "scalars", "tag": tag} for tag in _FIRST]
    return f"?pinnedCards={quote(json.dumps(pinned, separators=(',', ':')))}#timeseries"
