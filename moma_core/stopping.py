"""Being told to stop: who asks, what a piece of work raises then, and how a process ends."""

from __future__ import annotations

from collections.abc import Callable

Stop = Callable[[], bool]
"""True once the work shall stop; asked between its steps. In a process it is `is_set` of the event
that `moma_core.runtime.process.begin` returns."""
BAD_INPUT = 2
"""Exit status of an error that starting again would not mend."""
STOPPED = 3
"""Exit status of a process that was told to stop before its work was done."""
NOT_SUPPORTED = 4
"""Exit status where nothing was measured, and the log does not support the team."""


class StoppedError(Exception):
    """The work was told to stop before it was done."""
