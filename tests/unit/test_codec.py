"""Tensors on the wire: what is sent comes back, as a view of the bytes that came."""

import math

import pytest
import torch

from moma_core.pb import dynamics_pb2, tensor_pb2
from moma_core.ports import InvalidFieldError
from moma_core.rpc import codec
from moma_core.types import Prediction
from tests.builders import DIGEST, PER_ROW

KINDS = (torch.float32, torch.float64, torch.int64, torch.bool)


def packed(tensor):
    message = dynamics_pb2.PredictRequest()
    codec.pack(tensor, message.state)
    return message


def tensor_of(kind, *shape):
    return (torch.arange(math.prod(shape)) % 5).view(shape).to(kind)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("shape", [(3, 2), (1,), (), (0, 4)])
def test_what_is_packed_comes_back(kind, shape):
    tensor = tensor_of(kind, *shape)
    back = codec.value(packed(tensor), "state")
    assert back.dtype == kind
    assert back.shape == tensor.shape
    assert torch.equal(back, tensor)


def test_a_view_that_is_not_contiguous_and_a_parameter_travel_too():
    turned = tensor_of(torch.float32, 3, 4).T[:, 1:]
    assert not turned.is_contiguous()
    assert torch.equal(codec.value(packed(turned), "state"), turned)
    assert torch.equal(codec.value(packed(torch.nn.Parameter(turned)), "state"), turned)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_numbers_are_read_where_they_lie_and_truth_values_are_copied(kind):
    tensor = tensor_of(kind, 50, 3)
    data = packed(tensor).state.data
    view = codec._view(data, kind, (50, 3))
    lies_there = view.data_ptr() == torch.frombuffer(data, dtype=torch.uint8).data_ptr()
    assert lies_there == (kind != torch.bool)
    assert torch.equal(view, tensor)


def test_a_view_outlives_the_message_that_it_came_in():
    message = packed(tensor_of(torch.int64, 1000))
    view = codec.value(message, "state")
    message.Clear()
    del message
    assert view.sum() == 2000


def test_any_byte_but_0_is_true():
    message = tensor_pb2.Tensor(dtype="bool", shape=[3], data=b"\x00\x01\x07")
    assert codec._unpack(message, "valid").tolist() == [False, True, True]


def test_a_prediction_travels_with_the_model_that_made_it():
    rows = torch.arange(4.0)
    tensors = dict.fromkeys(PER_ROW, rows) | {
        "next_state": rows[:, None].repeat(1, 3), "terminated": rows > 2,
        "outside": rows[:, None] > torch.arange(4),
    }  # fmt: skip
    sent = Prediction(model=DIGEST, **tensors)
    raw = codec.encode(sent, dynamics_pb2.Prediction()).SerializeToString()
    back = codec.decode(Prediction, dynamics_pb2.Prediction.FromString(raw))
    assert back.model == DIGEST
    for name in PER_ROW:
        assert torch.equal(getattr(back, name), getattr(sent, name)), name


@pytest.mark.parametrize(
    ("change", "words"),
    [({"dtype": "f16"}, "dtype 'f16'"), ({"shape": [7]}, "12 bytes, need 28"),
     ({"shape": [-3]}, "axes of 0 to"), ({"shape": [1] * 7}, "at most 6 axes"),
     ({"shape": [2**24]}, "is 67108864 bytes")],
)  # fmt: skip
def test_a_tensor_that_is_not_what_it_says_is_refused_by_name(change, words):
    said = {"dtype": "f32", "shape": [3], "data": bytes(12)} | change
    with pytest.raises(InvalidFieldError, match=f"^state: .*{words}"):
        codec._unpack(tensor_pb2.Tensor(**said), "state")
    # Negative control.
    good = codec._unpack(tensor_pb2.Tensor(dtype="f32", shape=[3], data=bytes(12)), "state")
    assert torch.equal(good, torch.zeros(3))
