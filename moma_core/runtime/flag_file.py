"""A command's flags from a TOML file: `--config run.toml`, whose keys are the flags' names."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ENGINES = ("slurm", "ray", "kubernetes")
"""Tables that pick the engine by being there."""


def words(path: Path) -> list[str]:
    """Returns the command line that a file stands for; unknown flags are the parser's to refuse.

    Raises:
        ValueError: it is no TOML, has a value that no flag takes, or tables of two engines.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
    return words_of(table, str(path))


def words_of(given: Mapping[str, Any], source: str) -> list[str]:
    """Returns the command line that flags by their names stand for.

    Args:
        given: values by the flags' names, or tables of them by their sections.
        source: where they are from, for the error.

    Raises:
        ValueError: a value that no flag takes, or tables of two engines.
    """
    table = dict(given)
    recipe = table.pop("recipe", None)
    if recipe is not None and not isinstance(recipe, str):
        raise ValueError(f"{source}: recipe must be a name, got {recipe!r}")
    engines = [name for name in ENGINES if name in table]
    if len({*engines, table.get("engine", "local")} - {"local"}) > 1 or (
        engines and table.get("engine") == "local"
    ):
        named = ", ".join([f"[{name}]" for name in engines] + ["engine"] * ("engine" in table))
        raise ValueError(f"{source} names more than one engine: {named}; leave one")
    if engines:
        table["engine"] = engines[0]
    return [*([] if recipe is None else [recipe]), *_flags(table, "", source)]


def _flags(table: Mapping[str, Any], prefix: str, source: str) -> Iterator[str]:
    for key, value in table.items():
        name = f"{prefix}{key.replace('_', '-')}"
        match value:
            case dict():
                yield from _flags(value, f"{name}.", source)
            case bool():
                head, dot, last = name.rpartition(".")
                yield f"--{name}" if value else f"--{head}{dot}no-{last}"
            case str() | int() | float() | Path():
                yield f"--{name}={value}"
            case [*parts] if all(isinstance(part, str | int | float) for part in parts):
                yield from [f"--{name}", *map(str, parts)]
            case _:
                raise ValueError(f"{source}: {name} = {value!r} is no value of a flag")
