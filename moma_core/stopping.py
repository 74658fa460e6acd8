"""Being told to stop: who asks, what a piece of work raises then, and how a process ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

Stop = Callable[[], bool]
"""True once the work shall stop; asked between its steps. In a process it is `is_set` of the event
that `moma_core.runtime.process.begin` returns."""
BAD_INPUT = 2
"""Exit status of an error that starting again would not mend."""
STOPPED = 3
"""Exit status of a process that was told to stop before its work was done."""
NOT_SUPPORTED = 4
"""Exit status where nothing was measured, and the log does not support the team."""

PEER_LOST = 5
"""Exit status of a process that ended because another one had, with which it works as one."""


class StoppedError(Exception):
    """The work was told to stop before it was done."""


def leave_when_asked() -> None:
    """Ends this process at SIGINT and SIGTERM, in a line, until `moma_core.runtime.process.begin`.

    Python's own KeyboardInterrupt comes inside of whatever runs, as a library's import: one that
    catches it there goes on with a module that is half loaded.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)


def _leave(_: int, __: FrameType | None) -> None:
    os.write(2, b"stopped\n")  # not by sys.stderr, in whose middle this may be called
    os._exit(STOPPED)
