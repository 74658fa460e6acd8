"""A user's own code, which a call names as package.module:name. No document names code."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

_PLACE = re.compile(r"(\w+(?:\.\w+)*):(\w+)")
_NAMED: set[str] = set()


def is_place(name: str) -> bool:
    """Says whether a name is one of code, and not one that is registered somewhere."""
    return ":" in name


def words(env: str, task: str) -> list[str]:
    """Returns the flags by which a further process of a run is told a user's code; none without."""
    return [*(["--env", env] if env else []), *(["--task", task] if is_place(task) else [])]


def allow(place: str) -> None:
    """Says that the command line of this call names this task, which may be code."""
    _NAMED.add(place)


def allowed(place: str) -> bool:
    """Says whether the command line of this call named some code."""
    return place in _NAMED


def load(place: str, flag: str) -> Callable[[], Any]:
    """Returns the factory at `package.module:factory`, which may lie in the current directory.

    Args:
        place: where it is.
        flag: the flag that named it, for messages.

    Returns:
        What makes what the factory makes; an error of its own is quoted in a ValueError.

    Raises:
        ValueError: naming what is wrong with it.
    """
    match = _PLACE.fullmatch(place)
    if match is None:
        raise ValueError(f"{flag} must be package.module:factory, got {place!r}")
    module, name = match.groups()
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise ValueError(f"{flag} {place}: {module} fails inside: {_quoted(error)}") from error
        raise ValueError(
            f"{flag} {place}: {module} cannot be imported ({error}); is it installed, "
            "or its folder on PYTHONPATH?"
        ) from error
    except Exception as error:
        raise ValueError(f"{flag} {place}: {module} fails inside: {_quoted(error)}") from error
    factory = getattr(found, name, None)
    if not callable(factory):
        what = "has no" if factory is None else "holds something that cannot be called as"
        where = found.__file__ or f"a folder without code, {next(iter(found.__path__))}"
        raise ValueError(f"{flag} {place}: {module} {what} {name}; it is {where}")  # noqa: TRY004
    return lambda: _made(factory, f"{flag} {place}")


def _made(factory: Callable[[], Any], what: str) -> Any:  # noqa: ANN401 - theirs
    try:
        return factory()
    except Exception as error:
        raise ValueError(f"{what} fails inside: {_quoted(error)}") from error


def _quoted(error: Exception) -> str:
    """Returns an error with the line that it came from."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({frame.filename}, line {frame.lineno})"
