"""What the recipe for any log sets by the log itself: made, shown, and kept with the run."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path

from moma_core.config import UNUSED, Config
from moma_core.recipes import from_log
from moma_core.recipes.from_log import Choice, LogFacts
from moma_core.runtime.run import RunDirectory
from moma_core.storage import write_text

_WIDTH = 100
"""Columns of the table."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What a log is like and the settings that it asks for."""

    facts: LogFacts
    choices: tuple[Choice, ...]

    def keep(self, run: RunDirectory, config: Config) -> None:
        """Writes facts and settings into the run's directory, with what its config has instead."""
        rows = [
            asdict(choice) | {"instead": from_log.overridden(config, choice)}
            for choice in _used(self.choices, config)
        ]
        text = json.dumps({"log": asdict(self.facts), "settings": rows}, indent=1)
        write_text(run.settings, text)

    def table(self, config: Config) -> str:
        """Returns the settings as a table of field, value and reason; `*` marks what was given."""
        rows = [("setting", "value", "reason")]
        for choice in _used(self.choices, config):
            given = from_log.overridden(config, choice)
            value = _word(choice.value) if given is None else f"{_word(given)} *"
            why = "" if given is None else f"given; by the log: {_word(choice.value)}: "
            rows.append((choice.field, value, why + choice.reason))
        first, second = (max(len(row[i]) for row in rows) + 2 for i in (0, 1))
        lines = [
            textwrap.wrap(
                f"{field:<{first}}{value:<{second}}{reason}",
                _WIDTH,
                subsequent_indent=" " * (first + second),
            )
            for field, value, reason in rows
        ]
        return "\n".join([describe(self.facts), *(line for row in lines for line in row)]) + "\n"


def choose(path: Path) -> Chosen:
    """Measures the log at `path` and returns the settings that it asks for.

    Raises:
        DatasetError: the log cannot be trusted.
    """
    from moma_core.datasets import Dataset, facts  # loads torch

    measured = facts.measure(Dataset.load(path))
    return Chosen(facts=measured, choices=tuple(from_log.settings(measured)))


def describe(facts: LogFacts) -> str:
    """Returns what a log is like, in a line or two."""
    mean, limit = facts.length_mean, facts.episode_limit
    steps = f"{mean:.0f} of at most {limit}" if round(mean) != limit else str(limit)
    return (
        f"the log: {facts.episodes:,} episodes of {steps} steps, agents: {len(facts.discrete)}, "
        f"features: {facts.state_width};\nreturns {facts.return_mean:.2f} on average, "
        f"{facts.return_best_tenth:.2f} in the best tenth. It asks for these settings:"
    )


def _used(choices: tuple[Choice, ...], config: Config) -> list[Choice]:
    """Returns the choices that mean something to the config's algorithm."""
    unused = UNUSED[config.algorithm]
    return [choice for choice in choices if choice.field.split(".")[0] not in unused]


def _word(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
