"""What a user sees of an import: how far it is, and what was made."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from moma.log_tools.importing import Imported

_LINE_S = 5.0


def describe(made: Imported) -> str:
    """Returns what was made, a line for each thing."""
    spec = made.spec
    lines = [
        f"episodes     {made.episodes}: {made.terminated} terminated, "
        f"{made.episodes - made.terminated} truncated, at most {spec.episode_limit} steps",
        f"transitions  {made.transitions}",
        f"joint state  {spec.state_width} features",
        *(
            f"agent        {name}: observation {len(seen)}, action {'one of ' * chooses}{len(low)}"
            for name, seen, low, chooses in zip(
                spec.agents, spec.observation_index, spec.action_low, spec.discrete, strict=True
            )
        ),
        *(f"note         {note}" for note in made.notes),
        *(f"warning      {warning}" for warning in made.warnings),
    ]
    return "".join(f"  {line}\n" for line in lines)


@contextmanager
def progress(rows: int) -> Iterator[Callable[[str, int], None]]:
    """Yields what shows how far a phase is: a bar on a terminal, else a line every few seconds."""
    if not sys.stderr.isatty():
        yield _lines(rows)
        return
    texts = (TextColumn("{task.description}"), *Progress.get_default_columns()[1:3])
    with Progress(*texts, TimeElapsedColumn(), console=Console(stderr=True)) as bars:
        bar = bars.add_task("", total=rows)
        yield lambda phase, done: bars.update(bar, description=phase, completed=done)


def _lines(rows: int) -> Callable[[str, int], None]:
    shown = time.monotonic()

    def tell(phase: str, done: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= _LINE_S:
            shown = time.monotonic()
            sys.stderr.write(f"[{phase}] {done} of at most {rows} steps\n")

    return tell
