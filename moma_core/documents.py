"""Our frozen dataclasses as JSON and back, strictly: unknown or missing fields are errors."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import dacite

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


def dump(value: DataclassInstance) -> str:
    """Returns the dataclass as indented JSON."""
    return json.dumps(asdict(value), indent=1, sort_keys=True, allow_nan=False)


def parse(kind: type[T], text: str, source: str) -> T:
    """Reads JSON text into the dataclass `kind`.

    Args:
        kind: the dataclass.
        text: the JSON.
        source: where it came from, for the error.

    Raises:
        ValueError: not JSON, or not exactly the fields of `kind`.
    """
    try:
        return build(kind, json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{source} is no {kind.__name__}: {error}") from error


def build(kind: type[T], fields: object) -> T:
    """Builds the dataclass `kind` from plain values; lists become tuples, which ours hold.

    Raises:
        ValueError: not exactly the fields of `kind`.
    """
    if not isinstance(fields, dict):
        raise ValueError(f"must be an object, got {type(fields).__name__}")  # noqa: TRY004 - input
    try:
        rules = dacite.Config(strict=True, type_hooks={float: _number})
        return dacite.from_dict(kind, _tuples(fields), config=rules)
    except dacite.DaciteError as error:
        raise ValueError(str(error)) from error


def _tuples(value: Any) -> Any:  # noqa: ANN401 - JSON
    # By hand: dacite's own cast makes a tuple of any text, and of a number an error without a name.
    match value:
        case dict():
            return {name: _tuples(part) for name, part in value.items()}
        case list():
            return tuple(map(_tuples, value))
    return value


def _number(value: object) -> object:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
