"""`python -m benchmarks.speed`, as scripts/bench calls it: torch is loaded by the command only.

What has to come before torch (how long its threads spin) is the entry point's.
"""

from __future__ import annotations

import sys
from importlib import import_module

from moma_core.runtime import process


def main() -> int:
    """Runs the command."""
    return process.main(lambda: import_module("benchmarks.speed.command").main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
