"""Our nouns as protobuf messages and back, by field name. Sizes are checked before allocation.

A decoded tensor is a view of the bytes that came: nobody may write to it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from threading import Lock
from typing import Any, TypeVar

import torch
from google.protobuf.message import Message
from torch import Tensor

from moma_core.pb import tensor_pb2
from moma_core.ports import InvalidFieldError
from moma_core.types import History, StartStates

T = TypeVar("T")
M = TypeVar("M", bound=Message)
MAX_BYTES = 48 * 2**20
"""Bytes of one tensor at most: under the transport's limit, so that what is larger can be named."""
_MAX_AXES = 6
_DTYPES = {
    "f32": torch.float32,
    "f64": torch.float64,
    "i64": torch.int64,
    "bool": torch.bool,
}
_NAMES = {kind: name for name, kind in _DTYPES.items()}
_NESTED = {"StartStates": StartStates, "History": History}
_ONE_AT_A_TIME = Lock()


def encode(value: object, message: M) -> M:
    """Fills `message` from the dataclass `value`, field by field, and returns it."""
    if not is_dataclass(value):
        raise TypeError(f"{type(value).__name__} is no dataclass")
    for field in fields(value):
        item = getattr(value, field.name)
        if isinstance(item, Tensor):
            pack(item, getattr(message, field.name))
        elif isinstance(item, Mapping):
            _fill(item, getattr(message, field.name))
        elif is_dataclass(item):
            encode(item, getattr(message, field.name))
        elif item is not None:
            setattr(message, field.name, item)
    return message


def _fill(items: Mapping[str, Tensor | float], target: Any) -> None:  # noqa: ANN401 - a map field
    for key, entry in items.items():
        if isinstance(entry, Tensor):
            pack(entry, target[key])
        else:
            target[key] = entry


def decode(kind: type[T], message: Message) -> T:
    """Builds the dataclass `kind` from `message`.

    Its tensors are views of what came and must not be written to.

    Raises:
        InvalidFieldError: a tensor is missing, of an unknown dtype, or not of its stated size.
    """
    values = {field.name: value(message, field.name) for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**values)


def value(message: Message, name: str) -> Any:  # noqa: ANN401 - whatever the field holds
    """Returns one field of a message as our types have it; tensors must not be written to."""
    item = getattr(message, name)
    if isinstance(item, tensor_pb2.Tensor):
        if not message.HasField(name):
            raise InvalidFieldError(f"{name}: is missing")
        return _unpack(item, name)
    field = message.DESCRIPTOR.fields_by_name[name]
    if field.message_type is None:
        return item
    if field.message_type.GetOptions().map_entry:
        if field.message_type.fields_by_name["value"].message_type is None:
            return dict(item)
        return {key: _unpack(entry, f"{name}[{key}]") for key, entry in item.items()}
    return decode(_NESTED[field.message_type.name], item) if message.HasField(name) else None


def pack(tensor: Tensor, message: tensor_pb2.Tensor) -> None:
    """Writes a tensor into its message, with one copy before protobuf's own."""
    message.dtype = _NAMES[tensor.dtype]
    message.shape.extend(tensor.shape)
    message.data = tensor.numpy(force=True).tobytes()


def _unpack(message: tensor_pb2.Tensor, name: str) -> Tensor:
    kind, shape = message.dtype, tuple(message.shape)
    if (dtype := _DTYPES.get(kind)) is None:
        raise InvalidFieldError(f"{name}: dtype {kind!r}, need one of {sorted(_DTYPES)}")
    if len(shape) > _MAX_AXES or (shape and not 0 <= min(shape) <= max(shape) <= MAX_BYTES):
        raise InvalidFieldError(
            f"{name}: shape {list(shape)}, need at most {_MAX_AXES} axes of 0 to {MAX_BYTES}"
        )
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        raise InvalidFieldError(f"{name}: shape {list(shape)} is {size} bytes, at most {MAX_BYTES}")
    data = message.data  # each read makes a copy
    if len(data) != size:
        raise InvalidFieldError(
            f"{name}: {len(data)} bytes, need {size} for shape {list(shape)} of {kind}"
        )
    return _view(data, dtype, shape)


def _view(data: bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """The numbers where they lie, which keeps the bytes alive; truth values are copied."""
    _hush()
    if not data:
        return torch.empty(shape, dtype=dtype)
    if dtype == torch.bool:  # a byte that is not 0 is true
        return torch.frombuffer(data, dtype=torch.uint8).view(shape) != 0
    return torch.frombuffer(data, dtype=dtype).view(shape)


@cache
def _hush() -> None:
    """Lets torch warn of a view of read-only memory here, which it does once in a process.

    Those views are meant. A filter around every use would not be safe between threads.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.frombuffer(bytes(1), dtype=torch.uint8)
