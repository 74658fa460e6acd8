"""A dataset becomes a file that others can read: `moma data export`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

import tyro

from moma_core.runtime import process
from moma_core.runtime.commandline import parse


@dataclass(frozen=True, kw_only=True)
class Export:
    """Writes a dataset as one npz or Parquet file, in the layout that `import` reads."""

    path: tyro.conf.Positional[Path]
    """Dataset directory."""
    out: Path
    """File to write."""
    format: Literal["npz", "parquet"]
    """Format of the file."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _export(parse(Export, argv, "moma data export")))


def _export(args: Export) -> None:
    from moma_core.datasets import Dataset  # loads torch

    if args.out.exists():
        raise ValueError(f"{args.out} exists already; give another --out, or remove it")
    data = Dataset.load(args.path)
    try:
        export = import_module("moma.log_tools.export")
    except ModuleNotFoundError as error:
        raise ValueError(f'exporting needs {error.name}: pip install "moma-ppo[data]"') from error
    {"npz": export.npz, "parquet": export.parquet}[args.format](data, args.out)
    size = args.out.stat().st_size
    sys.stdout.write(
        f"{args.out}: {data.episodes} episodes, {data.transitions} transitions, {size} bytes\n"
    )
