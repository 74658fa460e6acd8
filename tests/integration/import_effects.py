"""A process that imports modules and says what that changed outside of them.

`python -m tests.integration.import_effects OTHERS MODULE ...`: imports what the file OTHERS lists
first, a name a line, so that what foreign packages do is not counted. It prints a line of JSON:
`changed`, module to what its import changed, and `foreign`, all modules that are not in MODULE.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import threading
import warnings
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import torch


def state():
    """What a process has only once, as values that can be compared."""
    products = torch.backends.mkldnn
    return {
        "environment": dict(os.environ),
        "torch's precision": [
            products.matmul.fp32_precision,
            products.conv.fp32_precision,
            torch.backends.cuda.matmul.fp32_precision,
            torch.backends.fp32_precision,
        ],
        "torch's threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "torch's defaults": [
            str(torch.get_default_dtype()),
            str(torch.get_default_device()),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
        ],
        "random numbers": [
            hash(random.getstate()),
            str(np.random.get_state()),  # noqa: NPY002 - whoever imports it may use it
            hash(torch.get_rng_state().numpy().tobytes()),
        ],
        "sys.path": list(sys.path),
        "hooks": [str(sys.excepthook), str(sys.displayhook), str(threading.excepthook)],
        "signal handlers": [str(signal.getsignal(number)) for number in signal.valid_signals()],
        "warnings' filters": [str(entry) for entry in warnings.filters],
        "logging": [
            logging.root.level,
            logging.root.manager.disable,
            *(
                (name, str(logger.handlers), str(logger.filters), logger.propagate)
                for name, logger in sorted(loggers().items())
                if logger.handlers or logger.filters or not logger.propagate
            ),
        ],
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "working directory": str(Path.cwd()),
    }


def loggers():
    """Every logger by its name."""
    known = logging.root.manager.loggerDict.items()
    return {"": logging.root} | {n: made for n, made in known if isinstance(made, logging.Logger)}


def told_of_views():
    """Whether torch still warns of its first view of memory that nobody may write to."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.frombuffer(bytes(1), dtype=torch.uint8)
    return len(told) == 1


def main(others, *modules):
    for name in Path(others).read_text().split():
        with suppress(Exception):  # some names are made up by the packages that load them
            import_module(name)
    changed = {}
    for name in modules:
        before = state()
        import_module(name)
        after = state()
        changed[name] = [what for what, value in before.items() if after[what] != value]
    if not told_of_views():
        changed["one of them"] = ["what torch has warned of"]
    changed = {name: what for name, what in changed.items() if what}
    foreign = [name for name in sys.modules if name not in modules]
    sys.stdout.write(json.dumps({"changed": changed, "foreign": foreign}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
