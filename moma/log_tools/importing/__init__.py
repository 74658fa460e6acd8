"""Other people's logs: a reader per format, and what turns any of them into a dataset.

Nothing in an input is executed. Readers are loaded when they are needed, for each format has its
own library.
"""

from __future__ import annotations

import zipfile
from importlib import import_module
from pathlib import Path
from types import ModuleType

from moma.log_tools.formats import FORMATS, Format
from moma.log_tools.importing.build import Imported, convert
from moma.log_tools.importing.log import ImportDataError, Log
from moma_core import documents

__all__ = [
    "ImportDataError",
    "Imported",
    "Log",
    "convert",
    "detect",
    "open_log",
]

_HDF5 = b"\x89HDF\r\n\x1a\n"


def open_log(path: Path, kind: Format) -> Log:
    """Opens a log in one of the formats.

    Raises:
        ImportDataError: it is not in that format, or its library is not installed.
    """
    _check_files(path)
    log: Log = _module(kind.replace("-", "_"), kind).read(path)
    return log


def detect(path: Path) -> Format:
    """Recognises the format of a file or directory by what lies there.

    Raises:
        ImportDataError: it is none that can be told from others.
    """
    _check_files(path)
    if path.is_dir():
        return _of_directory(path)
    with path.open("rb") as file:
        begin = file.read(8)
    if begin == _HDF5:
        return _of_hdf5(path)
    if begin.startswith(b"PAR1"):
        return "parquet"
    if path.suffix == ".csv":
        return "csv"
    if zipfile.is_zipfile(path):
        return "npz"
    raise ImportDataError(
        f"{path}: the format cannot be told; say --format, one of {', '.join(FORMATS)}. A pickle "
        "is read only when it is asked for"
    )


def _check_files(path: Path) -> None:
    """Refuses a log in which something is no file: opening a FIFO waits for ever."""
    if not path.exists():
        raise ImportDataError(f"{path} does not exist")
    inner = path.rglob("*") if path.is_dir() else (path,)
    for part in inner:
        if part.exists() and not part.is_dir() and not part.is_file():
            raise ImportDataError(f"{documents.printable(str(part))} is no regular file")


def _of_directory(path: Path) -> Format:
    marks: tuple[tuple[str, Format], ...] = (
        ("manifest.ocdbt", "og-marl"),
        ("meta/info.json", "lerobot"),
        ("data/main_data.hdf5", "minari"),
        ("main_data.hdf5", "minari"),
        ("data/0/metadata.json", "minari"),
        ("0/metadata.json", "minari"),
        ("*.npz", "npz"),
        ("*.parquet", "parquet"),
        ("*.csv", "csv"),
    )
    for pattern, kind in marks:
        if any(path.glob(pattern)):
            return kind
    vaults = sorted(inner.parent.name for inner in path.glob("*/manifest.ocdbt"))
    hint = f"; it holds these vaults, give one: {', '.join(vaults)}" if vaults else ""
    raise ImportDataError(f"{path} is no log in a known format ({', '.join(FORMATS)}){hint}")


def _of_hdf5(path: Path) -> Format:
    hdf5 = _module("hdf5", "hdf5")
    with hdf5.opened(path) as file:
        names = set(file)
    if {"columns", "num_episodes"} <= names:
        return "d3rlpy"
    if {"observations", "actions"} <= names:
        return "d4rl"
    if {"s", "o", "a", "r", "d"} <= names:
        return "omiga"
    raise ImportDataError(
        f"{path} holds {', '.join(sorted(names)[:12])}: neither D4RL's arrays (observations, "
        "actions, rewards, terminals) nor OMIGA's (s, o, a, r, d)"
    )


def _module(name: str, kind: str) -> ModuleType:
    try:
        return import_module(f"moma.log_tools.importing.{name}")
    except ModuleNotFoundError as error:
        raise ImportDataError(
            f'reading {kind} needs {error.name}: pip install "moma-ppo[data]"'
        ) from error
