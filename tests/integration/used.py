"""Runs a command and writes down what it used: `python -m tests.integration.used FILE WORDS...`.

A process begins with the peak memory of the one that started it; started from here it has its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path


def run(words, cwd, scratch):
    """Runs a command; returns its exit status, what it said, its peak bytes and user seconds."""
    with (scratch / "said").open("w") as said:
        launcher = [sys.executable, "-m", __name__, scratch / "used.json", *words]
        subprocess.run(list(map(str, launcher)), cwd=cwd, stdout=said, stderr=said, check=True)
    status, peak, seconds = json.loads((scratch / "used.json").read_text())
    return status, (scratch / "said").read_text(), peak, seconds


def main(path, *words):
    process = subprocess.Popen(words)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    Path(path).write_text(json.dumps([process.returncode, used.ru_maxrss * 1024, used.ru_utime]))


if __name__ == "__main__":
    main(*sys.argv[1:])
