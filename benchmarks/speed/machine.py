"""What this machine is, and whether somebody else is using it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch

from moma_core.nets.kernels import native_bf16
from moma_core.runtime.process import cores

BUSY_PERCENT = 10.0
"""Of one core: what others may use before measurements are doubted."""
_LOOK_S = 0.4
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What others did during one look."""

    percent: float
    """Of one core; two busy cores are 200. What this user cannot see is in it too."""
    who: tuple[str, ...] = ()
    """The busiest processes that can be seen."""


@dataclass
class Watch:
    """Looks at the machine while nothing of ours runs, and warns when others work."""

    say: Callable[[str], None]
    look: Callable[[], Reading]
    busy: dict[str, float] = field(default_factory=dict)
    """By moment, what others used of one core in percent, where it was too much."""

    def check(self, moment: str) -> None:
        """Takes a look; `moment` says when."""
        reading = self.look()
        if reading.percent <= BUSY_PERCENT:
            return
        self.busy[moment] = round(reading.percent, 1)
        who = f" ({', '.join(reading.who)})" if reading.who else ""
        self.say(
            f"warning: {moment}, others use {reading.percent:.0f} % of a core{who}; "
            "what is measured now is too low, and unsteady"
        )


def look() -> Reading:
    """Sleeps a moment and says what others used meanwhile."""
    others = [process for process in psutil.process_iter() if process.pid != os.getpid()]
    for process in others:
        _percent(process)
    before, own, begun = _used(), _own(), time.perf_counter()
    time.sleep(_LOOK_S)
    seconds = time.perf_counter() - begun
    used = max(0.0, _used() - before - (_own() - own))
    busiest = sorted(((_percent(p), p.pid, p) for p in others), key=lambda entry: -entry[0])
    who = tuple(
        f"process {pid} {_name(process)}: {percent:.0f} %"
        for percent, pid, process in busiest[:_NAMED]
        if percent > 1
    )
    return Reading(percent=100 * used / seconds, who=who)


def _used() -> float:
    """Processor seconds of the whole machine so far, those taken by other machines included."""
    times = psutil.cpu_times()._asdict()
    return float(sum(times.get(name, 0.0) for name in ("user", "nice", "system", "steal")))


def _own() -> float:
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)


def _percent(process: psutil.Process) -> float:
    try:
        return process.cpu_percent()
    except psutil.Error:
        return 0.0


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return "gone"


def facts() -> dict[str, object]:
    """Returns what a reader has to know of the machine to compare two results."""
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "precision": "bf16 hidden layers of served models" if native_bf16() else "fp32",
    }


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
