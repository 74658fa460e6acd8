"""A role that notes what it does: `python -m benchmarks.speed.traced DIRECTORY PACKAGE ...`.

The role itself is started as ever, with the words that follow; its trace lies in the directory
once it has ended.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from benchmarks.speed import trace
from benchmarks.speed.spots import spots


def begin(directory: Path) -> Callable[[str], list[str]]:
    """Returns what gives, for a role's package, the words that begin its process."""
    return lambda package: [sys.executable, "-m", __name__, str(directory), package]


def main(directory: Path, package: str, words: list[str]) -> int:
    """Runs a role and writes its trace."""
    recorder = trace.Recorder()
    with recorder.watching(spots()):
        status: int = import_module(f"{package}.__main__").main(words)
    trace.write(recorder.trace(package), directory / f"{package}-{os.getpid()}.json")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
