"""How fast this machine does each part of the work: `scripts/bench`."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from benchmarks.speed import machine, model, page, rollouts, simulated, table, update, whole
from benchmarks.speed.ground import Ground, shapes
from benchmarks.speed.machine import Watch
from benchmarks.speed.matmul import Matmul
from benchmarks.speed.sizes import SIZES, Size
from benchmarks.speed.table import Row
from benchmarks.speed.timing import FULL, QUICK
from moma.engines.supervision import RoleError
from moma_core.runtime import process
from moma_core.runtime.commandline import parse
from moma_core.stopping import STOPPED
from moma_core.storage import write_text

Section = Callable[[Ground, Size], list[Row]]
SECTIONS: dict[str, Section] = {
    "forward": model.predicting,
    "rollout": rollouts.in_process,
    "grpc": rollouts.remote,
    "update": update.updating,
    "training": model.training,
    "whole": whole.training,
}
"""What is measured for each size, in this order."""
_SIMULATOR = "simulator"
"""The section that no size of model changes."""
NAMES = (*SECTIONS, _SIMULATOR)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measures the speed of every part of the work, as a ratio to this machine's matmul rate."""

    sizes: tuple[str, ...] = ()
    """Sizes of world models: small, middle, published, demo; default: all."""
    only: tuple[str, ...] = NAMES
    """Sections to measure."""
    workers: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of worker processes that imagine over gRPC."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where models are served and fitted and policies updated, and whose matmul rate counts."""
    quick: bool = False
    """Fewer and shorter repeats: about a minute for one size."""
    profile: bool = False
    """Show where the time of a round of the whole system goes; noting it costs a little."""
    json: Path | None = None
    """A file to write the result to."""


def main(argv: Sequence[str], sizes: Mapping[str, Size] = SIZES) -> int:
    """Runs the command on some of `sizes`."""
    args = parse(Bench, argv, "scripts/bench")
    process.keep_memory()
    process.compute_on(0)
    return process.main(lambda: _bench(args, sizes))


def _bench(args: Bench, known: Mapping[str, Size]) -> int:
    _check(args, known)
    chosen = [replace(known[name], device=args.device) for name in args.sizes or known]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: whatever runs is ended
    say = _Say()
    watch = Watch(say, machine.look)
    try:
        with tempfile.TemporaryDirectory(prefix="moma-bench-") as scratch:
            ground = _ground(args, Path(scratch), say)
            _measure(args, chosen, ground, watch)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing is kept\n")
        return STOPPED
    except RoleError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    _report(args, ground, watch)
    for line in ground.wrong:
        sys.stderr.write(f"error: {line}\n")
    return 1 if ground.wrong else 0


def _check(args: Bench, known: Mapping[str, Size]) -> None:
    """Refuses what there is not, naming what there is.

    Raises:
        ValueError: a size, a section or a number of workers that cannot be measured.
    """
    for flag, given, names in (("sizes", args.sizes, tuple(known)), ("only", args.only, NAMES)):
        wrong = [name for name in given if name not in names]
        if wrong:
            raise ValueError(f"--{flag} knows no {wrong[0]!r}; it takes: {', '.join(names)}")
    if not args.workers or min(args.workers) < 1:
        raise ValueError(f"--workers must be 1 or more each, got {list(args.workers)}")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no CUDA GPU here")
    if args.profile and "whole" not in args.only:
        raise ValueError("--profile looks at the whole system; --only leaves it out")
    if args.json is not None and not args.json.resolve().parent.is_dir():
        raise ValueError(f"--json {args.json}: there is no such directory")


def _ground(args: Bench, scratch: Path, say: Callable[[str], None]) -> Ground:
    effort = QUICK if args.quick else FULL
    return Ground(
        effort=effort,
        matmul=Matmul(effort, say, args.device),
        scratch=scratch,
        say=say,
        workers=args.workers,
        profiles=[] if args.profile else None,
    )


def _measure(args: Bench, chosen: Sequence[Size], ground: Ground, watch: Watch) -> None:
    """Fills the table: the machine's matmuls first, then section by section."""
    watch.check("before the start")
    for size in chosen:
        for shape, precision in shapes(size):
            ground.rows.append(ground.matmul.row(shape, precision, size.name))
    for size in chosen:
        for name, section in SECTIONS.items():
            if name in args.only and (rows := section(ground, size)):
                ground.rows.extend(rows)
                watch.check(f"after {name} of {size.name}")
    if _SIMULATOR in args.only:
        ground.rows.extend(simulated.stepping(ground))
        watch.check("after simulator")


def _report(args: Bench, ground: Ground, watch: Watch) -> None:
    sys.stdout.write(table.text(ground.rows))
    profiles = ground.profiles or []
    if profiles:
        sys.stdout.write(f"\n{page.text(profiles)}")
    if args.json is not None:
        facts = machine.facts() | {"busy": bool(watch.busy), "others_percent": watch.busy}
        facts |= {"quick": args.quick, "device": args.device}
        more = {"profiles": page.plain(profiles)} if profiles else {}
        write_text(args.json, table.dump(facts, ground.rows, **more))


class _Say:
    """Writes lines to standard error, with the seconds since the start."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - self._begun:5.0f} s  {line}\n")
        sys.stderr.flush()
