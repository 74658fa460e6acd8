"""Documents: our frozen dataclasses as JSON and back, strictly, and the one reader of any JSON.

Whoever wrote a document may be a stranger. What is read is a regular file of bounded size and
depth, with numbers that are finite and fit 64 bits, no name twice and no control character.
"""

from __future__ import annotations

import json
import math
import stat
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import dacite

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
MAX_BYTES = 1 << 24
"""Bytes of one document at most."""
MAX_DEPTH = 32
"""Objects and lists within each other at most."""
_BITS = 63
_WHITE = "\n\t"
"""The control characters that a text may hold."""
_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Unicode's classes of characters that turn the direction of writing."""


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
        return build(kind, loads(text))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{printable(source)} is no {kind.__name__}: {error}") from error


def load(kind: type[T], path: Path) -> T:
    """Reads a file's JSON into the dataclass `kind`.

    Raises:
        OSError: the file is not there.
        ValueError: it is no file, not JSON, or has not exactly the fields of `kind`.
    """
    return parse(kind, text(path), str(path))


def read(path: Path) -> Any:  # noqa: ANN401 - JSON
    """Returns a file's JSON.

    Raises:
        OSError: the file is not there.
        ValueError: it is no file, too large, or no JSON that anybody here may read.
    """
    content = text(path)
    try:
        return loads(content)
    except ValueError as error:
        raise ValueError(f"{printable(str(path))} cannot be read: {error}") from error


def text(path: Path) -> str:
    """Returns the text of a regular file of bounded size; a FIFO or a device is not waited for.

    Raises:
        OSError: the file is not there.
        ValueError: it is no regular file, too large, or no UTF-8.
    """
    check_file(path)
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{printable(str(path))} has more than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{printable(str(path))} is no UTF-8 text: {error}") from error


def check_file(path: Path) -> None:
    """Refuses what is no regular file: opening a FIFO waits for ever, a device may have no end.

    Raises:
        OSError: there is none.
        ValueError: it is something else.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{printable(str(path))} is no regular file")


def loads(text: str, *, infinite: bool = False) -> Any:  # noqa: ANN401 - JSON
    """Returns the values of a JSON text.

    Args:
        text: the JSON.
        infinite: whether Infinity is a number, as it is in bounds that others write.

    Raises:
        ValueError: it is none, or holds what no document of ours does.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_once,
            parse_constant=_infinity if infinite else _no_number,
            parse_float=_real,
            parse_int=_whole,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError(f"more than {MAX_DEPTH} levels deep") from error
    _check(value)
    return value


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


def printable(text: str) -> str:
    """Returns the text with everything that a terminal would obey written out as an escape."""
    return "".join(c if c in _WHITE or not _commands(c) else ascii(c)[1:-1] for c in text)


def _commands(character: str) -> bool:
    """True of control characters and of those that change the direction of what follows."""
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in _DIRECTIONS
    )


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{printable(twice)!r} stands there twice")
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _infinity(word: str) -> float:
    return float(word) if word != "NaN" else _no_number(word)


def _real(word: str) -> float:
    if not math.isfinite(value := float(word)):
        raise ValueError(f"{word} is too large")
    return value


def _whole(word: str) -> int:
    if (value := int(word)).bit_length() > _BITS:
        raise ValueError(f"{word[:30]} does not fit 64 bits")
    return value


def _check(value: Any) -> None:  # noqa: ANN401 - JSON
    """Refuses depth and control characters, level by level: nothing here recurses."""
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} levels deep")
        words = [part for part in level if isinstance(part, str)]
        words += [name for part in level if isinstance(part, dict) for name in part]
        words = [word.replace("\r\n", "\n") for word in words]
        if bad := next((word for word in words if printable(word) != word), None):
            raise ValueError(f"{printable(bad)[:80]!r} holds a control character")
        level = [inner for part in level for inner in _inner(part)]
        depth += 1


def _inner(value: Any) -> Sequence[Any]:  # noqa: ANN401 - JSON
    match value:
        case dict():
            return list(value.values())
        case list():
            return value
    return ()


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
