"""The data that MOMA-PPO's authors published: a pickled dictionary of numpy arrays.

A pickle is a program. This is the one place where one is read, and it can do nothing here but
build arrays of numbers: every other name that it asks for is refused, and the few that numpy's own
pickles use stand for functions below, which build the array themselves from its bytes. The keys
are those of `transitions`, each an array or a list of arrays, one per agent. A pickle cannot be
streamed: this format alone is held in memory.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.importing import limits, transitions
from moma.log_tools.importing.log import ImportDataError, Log

_MAX_BYTES = 1 << 32
_PLAIN = re.compile(r"[<>|=]?(f[248]|[iu][1248]|b1)")


class _Dtype:
    """A plain number's type, as a pickle builds it: by its code, then by its byte order."""

    def __init__(self, code: str, *_: object) -> None:
        if not isinstance(code, str) or not _PLAIN.fullmatch(code):
            raise ImportDataError(f"holds an array of {code!r}, which are no plain numbers")
        self.numpy = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "=") or state[2:5] != (None, None, None):
            raise ImportDataError("holds an array of records, which are no plain numbers")
        self.numpy = self.numpy.newbyteorder(state[1])


class _Array:
    """An array, as a pickle builds it: empty, then with its shape, type and bytes."""

    numpy: NDArray[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        self.numpy = _numbers(content, dtype).reshape(shape, order="F" if fortran else "C")


def _numbers(content: object, dtype: object) -> NDArray[Any]:
    if not isinstance(dtype, _Dtype) or not isinstance(content, bytes | bytearray):
        raise ImportDataError("holds an array of objects; only numbers are read")
    return np.frombuffer(content, dtype.numpy)


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _from_buffer(content: object, dtype: object, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", content))
    return array


def _scalar(dtype: object, content: object) -> float:
    return float(_numbers(content, dtype)[0])


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ImportDataError(f"asks for the encoding {encoding!r}")
    return text.encode(encoding)


class _Call:
    """One of these functions as a pickle sees it: it can be called, and not be changed."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *given: object) -> object:
        return self._function(*given)

    def __setstate__(self, _: object) -> None:
        raise ImportDataError("would change something that is no array")


_MEANS = {
    "numpy ndarray": None,
    "numpy dtype": _Call(_Dtype),
    "_codecs encode": _Call(_latin1),
    **{f"numpy.{core}.multiarray _reconstruct": _Call(_reconstruct) for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray scalar": _Call(_scalar) for core in ("core", "_core")},
    **{f"numpy.{core}.numeric _frombuffer": _Call(_from_buffer) for core in ("core", "_core")},
}


class _Reader(pickle._Unpickler):
    """Reads numbers, texts, lists, dictionaries and arrays; nothing of the pickle's is called.

    The one written in Python: the other one's table of seen objects can be made to fill memory.
    """

    def find_class(self, module: str, name: str) -> object:
        """Returns what stands here for a name.

        Raises:
            ImportDataError: for any name that numpy's arrays do not need.
        """
        if f"{module} {name}" not in _MEANS:
            raise ImportDataError(
                f"asks for {module}.{name}, which is not loaded: only numpy arrays are; export "
                "the data as npz where it was made"
            )
        return _MEANS[f"{module} {name}"]


def read(path: Path) -> Log:
    """Opens such a file.

    Raises:
        ImportDataError: it holds anything but arrays of numbers, or fields are missing.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise ImportDataError(f"{path} has more than {_MAX_BYTES} bytes; a pickle needs memory")
    try:
        with path.open("rb") as file:
            content = _Reader(file, encoding="latin1").load()
    except Exception as error:  # a hostile pickle can make its reader fail in any way
        raise ImportDataError(f"{path}: {error or type(error).__name__}") from error
    if not isinstance(content, dict):
        raise ImportDataError(
            f"{path} must hold a dictionary with {', '.join(transitions.REQUIRED)}; it holds "
            f"{type(content)}"
        )
    arrays = {
        f"{name}/{i}": array
        for name in filter(lambda n: isinstance(n, str) and transitions.wanted(n), content)
        for i, array in enumerate(_arrays(f"{path}: {name}", content[name]))
    }
    if not {f"{name}/0" for name in transitions.REQUIRED} <= set(arrays):
        raise ImportDataError(
            f"{path} must hold a dictionary with {', '.join(transitions.REQUIRED)}, terminals; it "
            f"holds {', '.join(map(repr, content))}"
        )
    return transitions.read(str(path), lambda: nullcontext(arrays))


def _arrays(where: str, value: object) -> list[NDArray[Any]]:
    """The arrays of a field, one per agent."""
    arrays = [
        item.numpy for item in _listed(value) if isinstance(getattr(item, "numpy", 0), np.ndarray)
    ]
    if not arrays or len(arrays) != len(_listed(value)):
        raise ImportDataError(f"{where} must be an array of numbers, or a list of them")
    for array in arrays:
        limits.numeric(where, array.dtype.kind, array.shape)
    return arrays


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
