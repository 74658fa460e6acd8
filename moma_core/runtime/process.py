"""What every process of ours does alike: log, stop when asked, and not outlive who started it."""

from __future__ import annotations

import ctypes
import errno
import json
import logging
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from types import FrameType

from moma_core import documents
from moma_core.address import Address
from moma_core.stopping import BAD_INPUT, STOPPED
from moma_core.storage import write_text

LIFELINE = "MOMA_LIFELINE"
"""Set by a supervisor that holds the other end of our standard input while it lives."""
_GRACE_S = 10.0
"""Seconds to end by oneself once whoever started this process is gone."""
_LIMIT_S = 18.0
"""Seconds to end by oneself once asked: whatever is being done then, a stop takes 20 s at most."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of two settings of glibc's `mallopt` (malloc.h)."""
_KEPT = 1 << 28
"""Bytes of freed memory that a process keeps, and the largest block that it keeps."""
_NICE = 10
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux says how much of its cores a container may use, and in which time: microseconds."""
_LOG = logging.getLogger(__name__)
_OVER = Event()
"""Set once the command of this process has returned."""
_GOES_ON_WITH = list[str]()
"""The command that goes on with what this process does, where there is one."""


def begin() -> Event:
    """Sets up logging, signals and the lifeline; the event is set once the process shall stop.

    The first SIGTERM or SIGINT asks; the second one ends the process at once, and so do 18 s.
    """
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr
    )
    keep_memory()
    open_many_files()
    _OVER.clear()
    goes_on_with("")
    stopping = Event()

    def ask(number: int, _: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    Thread(target=_insist, args=(stopping,), name="insist", daemon=True).start()
    if os.environ.get(LIFELINE):
        Thread(target=_watch, args=(stopping,), name="lifeline", daemon=True).start()
    return stopping


def goes_on_with(command: str) -> None:
    """Keeps the command to say where this process has to be ended in the middle of its work."""
    _GOES_ON_WITH[:] = [command] if command else []


def over() -> None:
    """Says that what `begin` prepared this process for has returned."""
    _OVER.set()


def cores() -> int:
    """Returns how many cores this process may use.

    The machine may have more: a batch system lends some of them, a container has a quota.
    """
    own = len(own_cores()) or os.cpu_count() or 1
    try:
        quota, period = map(float, _QUOTA.read_text(encoding="ascii").split())
    except (OSError, ValueError):  # no such file, or "max"
        return own
    return min(own, max(1, math.ceil(quota / period)))


def spin_briefly() -> None:
    """Lets torch's threads fall asleep soon where they wait; it has to come before torch is loaded.

    By default they spin for so long that another job on one of the cores makes an update of 0.2 s
    last 8 s; with this 0.7 s, and 2 to 5 % more than by default where there is none
    (docs/performance.md). What the user has set is kept.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "3000"


def own_cores() -> list[int]:
    """Returns the numbers of this machine's cores that are ours; none where nothing can be kept."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def compute_on(threads: int) -> None:
    """Prepares torch in this process: how many threads, and kernels that round as all others do.

    Args:
        threads: how many; 0: those that torch has (OMP_NUM_THREADS), one per core at most.
    """
    import torch  # here, for commands that need none of it

    from moma_core.nets import kernels

    kernels.multiply_by_onednn()
    torch.set_num_threads(threads or min(torch.get_num_threads(), cores()))


def yield_cores() -> None:
    """Lets other processes of this machine go first.

    A model server that shares its cores with many workers is then not kept from its next batch by
    those who wait for it: with 16 workers on two cores 1,020 instead of 840 answers/s.
    """
    os.nice(_NICE)


def keep_memory() -> None:
    """Lets this process keep what it frees, for its next tensor of that size.

    By default glibc gives large blocks back to the system at once, and every new one is paid for
    in page faults: 40 % of a forward pass of 1,000 rows (docs/performance.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT)


def open_many_files() -> None:
    """Lets this process open as many files as the system lets it: every connection is one.

    Systems begin with 1,024 for each process, fewer than a learner has workers.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems have a bound below what they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _insist(stopping: Event) -> None:
    """Ends this process if it was asked to and does not: files are whole or absent at any time."""
    stopping.wait()
    if _OVER.wait(_LIMIT_S):
        return
    sys.stderr.write(
        f"ended in the middle of its work, {_LIMIT_S:.0f} s after it was asked to; "
        f"what is on disk is whole{''.join(f'; go on with: {c}' for c in _GOES_ON_WITH)}\n"
    )
    sys.stderr.flush()
    os._exit(STOPPED)


def _watch(stopping: Event) -> None:
    """Ends this process when the other end of standard input is closed: its supervisor is gone."""
    while os.read(0, 1):  # not sys.stdin: its lock would outlive us at interpreter shutdown
        pass
    if not stopping.is_set():
        _LOG.warning("whoever started this process is gone; stopping")
        stopping.set()
    time.sleep(_GRACE_S)
    os._exit(1)


def say(line: str) -> None:
    """Writes one line that somebody may have to act on."""
    _LOG.warning("%s", documents.printable(line))


def announce(path: Path | None, role: str, address: Address, keys: Path | None = None) -> None:
    """Says where this process can be reached: in its log and, for its supervisor, in a file.

    Args:
        path: the supervisor's file; None: there is no supervisor.
        role: what this process is.
        address: where it is called.
        keys: the directory of its keys, of which whoever may read them can make use.
    """
    _LOG.info("%s (process %d) listens on %s", role, os.getpid(), address)
    if path is not None:
        said = {"role": role, "pid": os.getpid(), "address": str(address)}
        place = None if keys is None else str(keys.absolute())
        write_text(path, json.dumps({**said, "keys": place}))


def main(command: Callable[[], int | None]) -> int:
    """Runs a command that has not loaded torch yet; what the user can mend is exit status 2.

    One line on standard error says what it is.
    """
    spin_briefly()
    try:
        return command() or 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads any more
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return _refused(str(error))
        return _refused(
            f"{error}: the disk is full; what is on it already is whole; free some space and give "
            "the command again (a run goes on with --resume)"
        )
    except ValueError as error:
        return _refused(str(error))
    finally:
        over()


def _refused(words: str) -> int:
    sys.stderr.write(f"error: {documents.printable(words)}\n")
    return BAD_INPUT
