"""What strangers may send to both servers: refused by the field's name, and the server lives."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from moma_core.pb import learner_pb2
from moma_core.rpc import codec
from moma_core.rpc.channel import MAX_MESSAGE
from tests.integration.parts import make_segments, make_service
from tests.integration.raw import predict_request, raw

REFUSED = grpc.StatusCode.INVALID_ARGUMENT
FLOATS = {"Predict": ("state", "action"), "Submit": ("state", "action", "reward", "history.frames")}
FIELDS = [("Predict", "state"), ("Predict", "action"), ("Predict", "age"), ("Predict", "seed")] + [
    ("Submit", name)
    for name in (
        "history.frames",
        "history.exists",
        "state",
        "action",
        "log_prob",
        "reward",
        "penalty",
        "age",
        "unsure",
        "valid",
    )
]


@pytest.fixture(scope="module")
def good(run, model):
    """A valid message per method."""
    segment = make_segments(make_service(run), model)[0]
    return {
        "Predict": predict_request(model.describe()),
        "Submit": codec.encode(segment, learner_pb2.Trajectory()),
    }


@pytest.fixture
def ask(peer, good):
    """Sends a message to its method; afterwards the server must still take a good one."""
    addresses = {"Predict": (peer.dynamics, "Dynamics"), "Submit": (peer.learner, "Learner")}

    def send(method, message):
        address, service = addresses[method]
        if method == "Submit":  # a segment is taken from whom it was handed out to
            with raw(address, "/moma_core.pb.Learner/Assign") as call:
                call(learner_pb2.AssignRequest(worker="w0").SerializeToString())
        request = message if isinstance(message, bytes) else message.SerializeToString()
        with raw(address, f"/moma_core.pb.{service}/{method}") as call:
            answer = call(request)
            after = call(good[method].SerializeToString())
        assert after == (grpc.StatusCode.OK, "")
        return answer

    return send


def inside(message, name):
    """The message that holds a field, and the field's own name: `history.frames`."""
    *path, last = name.split(".")
    for part in path:
        message = getattr(message, part)
    return message, last


def changed(message):
    """A copy, to be made bad."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def narrow(tensor):
    """Takes one from the last axis, with its bytes."""
    array = np.frombuffer(tensor.data, "u1").reshape(*tensor.shape, -1)
    axes = len(tensor.shape)
    array = np.take(array, range(tensor.shape[axes - 1] - 1), axis=axes - 1)
    tensor.shape[axes - 1] -= 1
    tensor.data = array.tobytes()


def oversize(tensor):
    """Above the codec's limit and below the transport's, consistent in itself."""
    tensor.data = bytes(codec.MAX_BYTES + 8)
    del tensor.shape[:]
    tensor.shape.append(len(tensor.data) // {"f32": 4, "i64": 8, "bool": 1}[tensor.dtype])


def set_shape(*sizes):
    """Changes the stated shape, not the bytes."""

    def change(tensor):
        del tensor.shape[:]
        tensor.shape.extend(sizes)

    return change


def set_empty(*sizes):
    """States a shape without elements, and sends none."""

    def change(tensor):
        set_shape(*sizes)(tensor)
        tensor.data = b""

    return change


BAD = {
    "missing": None,
    "dtype unknown": lambda t: setattr(t, "dtype", "f16"),
    "dtype empty": lambda t: setattr(t, "dtype", ""),
    "one byte short": lambda t: setattr(t, "data", t.data[:-1]),
    "trailing byte": lambda t: setattr(t, "data", t.data + b"\0"),
    "no bytes": lambda t: setattr(t, "data", b""),
    "negative size": set_shape(-1),
    "two negative sizes": set_shape(-2, -4),
    "huge size": set_shape(2**40),
    "huge product": set_shape(2**40, 2**40, 2**40),
    "huge size of nothing": set_empty(2**62, 0),
    "huge sizes of nothing": set_empty(2**62, 2**62, 0),
    "no rows": set_empty(0),
    "seven axes": set_shape(1, 1, 1, 1, 1, 1, 1),
    "a scalar": lambda t: (set_shape()(t), setattr(t, "data", bytes(8 if t.dtype == "i64" else 4))),
    "too narrow": narrow,
    "too large": oversize,
}


@pytest.mark.reliability(17, "validation_matrix")
@pytest.mark.parametrize(("method", "name"), FIELDS)
@pytest.mark.parametrize("fault", BAD)
def test_a_bad_tensor_is_refused_by_its_name(ask, good, method, name, fault):
    message = changed(good[method])
    holder, last = inside(message, name)
    if BAD[fault] is None:
        holder.ClearField(last)
    else:
        BAD[fault](getattr(holder, last))
    status, text = ask(method, message)
    assert (status, last in text) == (REFUSED, True), text


@pytest.mark.reliability(5, "nan_everywhere")
@pytest.mark.parametrize(("method", "name"), [(m, n) for m, names in FLOATS.items() for n in names])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused_by_its_place(ask, good, method, name, bad):
    message = changed(good[method])
    tensor = getattr(*inside(message, name))
    values = np.frombuffer(tensor.data, "<f4").copy()
    values[-1] = bad
    tensor.data = values.tobytes()
    status, text = ask(method, message)
    assert status == REFUSED
    assert f"{name}[" in text


@pytest.mark.parametrize("method", ["Predict", "Submit"])
@pytest.mark.parametrize("what", ["garbage", "truncated", "empty"])
def test_bytes_that_are_no_whole_message_are_refused(ask, good, method, what):
    whole = good[method].SerializeToString()
    request = {"garbage": b"\xff" * 64, "truncated": whole[: len(whole) // 2], "empty": b""}[what]
    status, text = ask(method, request)
    assert status == REFUSED
    assert text.startswith("message: cannot be parsed" if what != "empty" else ("state", "age"))


@pytest.mark.parametrize("method", ["Predict", "Submit"])
def test_a_message_above_the_transports_limit_is_refused_by_the_transport(ask, method):
    status, text = ask(method, bytes(MAX_MESSAGE + 1))
    assert status == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(MAX_MESSAGE) in text


@pytest.mark.parametrize(
    ("name", "bad"),
    [("worker", ""), ("worker", "x" * 10_000), ("incarnation", -1), ("metrics", {"a": np.nan})],
)
def test_what_a_segment_says_of_its_maker_is_checked_too(ask, good, name, bad):
    message = changed(good["Submit"])
    if isinstance(bad, dict):
        message.metrics.update(bad)
    else:
        setattr(message, name, bad)
    status, text = ask("Submit", message)
    assert (status, name in text) == (REFUSED, True), text


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"worker": ""}, "worker"),
        ({"worker": "x" * 201}, "worker"),
        ({"worker": "w", "incarnation": -1}, "incarnation"),
        ({"worker": "w", "wait_s": -1.0}, "wait_s"),
        ({"worker": "w", "wait_s": 1e9}, "wait_s"),
        ({"worker": "w", "wait_s": float("nan")}, "wait_s"),
    ],
)
def test_a_request_for_work_is_checked_by_field(peer, fields, name):
    with raw(peer.learner, "/moma_core.pb.Learner/Assign") as call:
        request = learner_pb2.AssignRequest(**fields).SerializeToString()
        status, text = call(request)
        good = learner_pb2.AssignRequest(worker="w", wait_s=0.0).SerializeToString()
        assert call(good) == (grpc.StatusCode.OK, "")
    assert status == REFUSED
    assert text.startswith(f"{name}: ")
