"""`python -m benchmarks.proving`."""

import sys

from benchmarks.proving.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
