"""Our nouns as protobuf messages and back, by field name. Sizes are checked before allocation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from google.protobuf.message import Message
from torch import Tensor

from moma.pb import tensor_pb2
from moma.ports import InvalidFieldError
from moma.types import StartStates

T = TypeVar("T")
M = TypeVar("M", bound=Message)
MAX_BYTES = 48 * 2**20
"""Of one tensor. Under the transport's own limit, so that what is too large can be named."""
_MAX_AXES = 6
_DTYPES: dict[str, tuple[np.dtype[Any], torch.dtype]] = {
    "f32": (np.dtype("<f4"), torch.float32),
    "f64": (np.dtype("<f8"), torch.float64),
    "i64": (np.dtype("<i8"), torch.int64),
    "bool": (np.dtype("u1"), torch.bool),
}
_NAMES = {kind: name for name, (_, kind) in _DTYPES.items()}
_NESTED = {"StartStates": StartStates}


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

    Raises:
        InvalidFieldError: a tensor is missing, of an unknown dtype, or not of its stated size.
    """
    values = {field.name: value(message, field.name) for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**values)


def value(message: Message, name: str) -> Any:  # noqa: ANN401 - whatever the field holds
    """Returns one field of a message as our types have it."""
    field = message.DESCRIPTOR.fields_by_name[name]
    item = getattr(message, name)
    if field.message_type is None:
        return item
    if field.message_type.GetOptions().map_entry:
        if field.message_type.fields_by_name["value"].message_type is None:
            return dict(item)
        return {key: _unpack(entry, f"{name}[{key}]") for key, entry in item.items()}
    if field.message_type.name in _NESTED:
        return decode(_NESTED[field.message_type.name], item) if message.HasField(name) else None
    if not message.HasField(name):
        raise InvalidFieldError(f"{name}: is missing")
    return _unpack(item, name)


def pack(tensor: Tensor, message: tensor_pb2.Tensor) -> None:
    """Writes a tensor into its message."""
    message.dtype = _NAMES[tensor.dtype]
    message.shape.extend(tensor.shape)
    message.data = tensor.detach().contiguous().numpy().tobytes()


def _unpack(message: tensor_pb2.Tensor, name: str) -> Tensor:
    if message.dtype not in _DTYPES:
        raise InvalidFieldError(f"{name}: dtype {message.dtype!r}, need one of {sorted(_DTYPES)}")
    dtype, kind = _DTYPES[message.dtype]
    shape = tuple(message.shape)
    if len(shape) > _MAX_AXES or any(not 0 <= size <= MAX_BYTES for size in shape):
        raise InvalidFieldError(
            f"{name}: shape {list(shape)}, need at most {_MAX_AXES} axes of 0 to {MAX_BYTES}"
        )
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        raise InvalidFieldError(f"{name}: shape {list(shape)} is {size} bytes, at most {MAX_BYTES}")
    data = message.data  # each read makes a copy
    if len(data) != size:
        raise InvalidFieldError(
            f"{name}: {len(data)} bytes, need {size} for shape {list(shape)} of {message.dtype}"
        )
    array = np.frombuffer(data, dtype=dtype).reshape(shape)
    # A copy, since torch refuses read-only memory; a byte that is not 0 is true.
    return torch.from_numpy(array != 0 if kind == torch.bool else array.copy())
