"""Drafts what the columns of one's own tables are: `moma data columns DIR`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from moma_core.storage import write_text


@dataclass(frozen=True, kw_only=True)
class DraftColumns:
    """Writes columns.toml beside CSV or Parquet files: a guess by the names, for you to mend."""

    path: tyro.conf.Positional[Path]
    """Directory of the files, or one file."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _draft(parse(DraftColumns, argv, "moma data columns")))


def _draft(args: DraftColumns) -> None:
    try:
        from moma.log_tools.importing import columns, csv, table  # pyarrow is an extra
    except ModuleNotFoundError as error:
        raise ValueError(f'tables need {error.name}: pip install "moma-ppo[data]"') from error

    place = args.path if args.path.is_dir() else args.path.parent
    files = sorted(args.path.glob("*.[cp][sa][vr]*")) if args.path.is_dir() else [args.path]
    if not files:
        raise ValueError(f"{args.path} holds no .csv and no .parquet file")
    out = place / columns.FILE
    if out.exists():
        raise ValueError(f"{out} exists already; mend it, or remove it")
    sample = csv.sample if files[0].suffix == ".csv" else table.sample
    draft = columns.draft(sample(files[0]))
    write_text(out, draft)
    sys.stdout.write(f"{draft}\nwritten to {out}: look at every line, then moma data import\n")
