"""A role that notes what torch does: `python -m benchmarks.speed.traced DIRECTORY PACKAGE ...`.

torch.profiler records operators, nodes of backward passes, optimiser steps and the ranges that the
code names (`update`, in the learner's loop); a hook on all modules adds a range for every call of a
network. The role itself is started as ever, with the words that follow; its trace lies in the
directory once it has ended.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path

import torch
from torch import nn
from torch._C._profiler import _ExperimentalConfig
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.profiler import ProfilerActivity, profile, record_function

FORWARD, RECORDED = "forward ", "recorded forward "
"""What a range of a network's call is named before its class: gradients are recorded or not."""


@contextmanager
def noting(path: Path) -> Iterator[None]:
    """Writes down what torch does in this process, whichever the thread, until the block ends."""
    threads = _ExperimentalConfig(profile_all_threads=True)
    with _ranges(), profile(activities=[ProfilerActivity.CPU], experimental_config=threads) as it:
        yield
    path.parent.mkdir(parents=True, exist_ok=True)
    it.export_chrome_trace(str(path))


class _Calls(threading.local):
    """This thread's calls of modules that have not returned, and the range of the outermost."""

    depth = 0
    outermost: record_function


@contextmanager
def _ranges() -> Iterator[None]:
    """Adds a range for every call of a network that is not part of another one."""
    calls = _Calls()

    def enter(module: nn.Module, *_: object) -> None:
        if not calls.depth:
            kind = RECORDED if torch.is_grad_enabled() else FORWARD
            calls.outermost = record_function(kind + type(module).__name__)
            calls.outermost.__enter__()
        calls.depth += 1

    def leave(*_: object) -> None:
        calls.depth -= 1
        if not calls.depth:
            calls.outermost.__exit__(None, None, None)

    with ExitStack() as hooks:
        hooks.enter_context(register_module_forward_pre_hook(enter))
        hooks.enter_context(register_module_forward_hook(leave, always_call=True))
        yield


def begin(directory: Path) -> Callable[[str], list[str]]:
    """Returns what gives, for a role's package, the words that begin its process."""
    return lambda package: [sys.executable, "-m", __name__, str(directory), package]


def main(directory: Path, package: str, words: list[str]) -> int:
    """Runs a role and writes its trace."""
    with noting(directory / f"{package}-{os.getpid()}.json"):
        status: int = import_module(f"{package}.__main__").main(words)
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
