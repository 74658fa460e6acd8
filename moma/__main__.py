"""`python -m moma` is `moma`."""

import sys

from moma.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
