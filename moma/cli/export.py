"""A run's policy taken out: `moma export RUN --out DIR`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moma_core.runtime import process
from moma_core.runtime.commandline import parse, take_run
from moma_core.runtime.run import RunDirectory


@dataclass(frozen=True, kw_only=True)
class Export:
    """Writes a run's policy as a folder per agent that acts by onnxruntime and numpy alone."""

    out: Path
    """Directory to write; it may not exist."""
    policy: str = "team"
    """Policy to take: the team, or an imitation of the log (bc) or of its best (bc-best)."""
    data: Path | None = None
    """Directory of the run's log, where it has moved; its episodes are played beside torch."""
    unsupported: bool = False
    """Export also of a policy that nothing speaks for; card and contract are marked."""


def main(argv: Sequence[str]) -> int:
    """Runs the command."""
    return process.main(lambda: _export(argv))


def _export(argv: Sequence[str]) -> None:
    path, rest = take_run(argv, "moma export")
    args = parse(Export, rest, "moma export RUN")
    run = RunDirectory.open(path)
    config = run.config()
    if args.data is not None:
        config = replace(config, data=replace(config.data, path=str(args.data)))
    try:
        from moma.export.folder import export  # loads torch
    except ModuleNotFoundError as error:
        raise ValueError(f'exporting needs {error.name}: pip install "moma-ppo[export]"') from error
    process.compute_on(1)  # rows are few
    sys.stderr.write("100 episodes are played beside torch; of 1,000 steps, that takes minutes\n")
    done = export(run, config, args.out, args.policy, unsupported=args.unsupported)
    mark = "" if done.standing.trusted else f"; {done.standing.judgement.upper()}, marked as such"
    sys.stdout.write(
        f"{args.out}: policy {args.policy} of {run.name}; largest difference to torch "
        f"{done.difference:.1e} over {done.source}{mark}\n"
    )
