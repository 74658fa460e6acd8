"""Which code this is: the version, and the commit that it was built or checked out from."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

BUILT = "commit.txt"
"""File beside this one in a wheel or an sdist: the commit that it was built from (`setup.py`)."""
_HERE = Path(__file__).resolve().parent


def named(here: Path = _HERE) -> str:
    """Returns version and commit of the code at `here`."""
    return f"{importlib.metadata.version('moma-ppo')} {commit(here)}"


def commit(here: Path = _HERE) -> str:
    """Returns the commit of the code at `here`, with a mark where files differ from it.

    An installed package may lie within the checkout of something else: what the build wrote goes
    before what git says.
    """
    built = here / BUILT
    if built.is_file():
        return built.read_text(encoding="ascii").strip()
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "(no commit known)"
    return done.stdout.strip()
