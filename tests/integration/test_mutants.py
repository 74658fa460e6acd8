"""Thousands of mutants of a valid request: refused or answered, never a fault of the server's."""

from __future__ import annotations

import random
import time
from collections import Counter

import grpc
import psutil
import pytest

from moma_core.pb import dynamics_pb2
from tests.integration.raw import predict_request, raw

MUTANTS, SECONDS, WARM = 2000, 10.0, 100
FEWEST = 200
"""On a machine so slow that fewer went through, the test says nothing and must not pass."""
RSS_GROWTH = 50 * 2**20
SIZES = (-1, 0, 1, 3, 4, 5, 2**20, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))
TENSORS = ("state", "action", "age", "seed")


def mutate_bytes(raw_bytes, draw):
    """Flips, cuts, doubles or inserts bytes anywhere."""
    data = bytearray(raw_bytes)
    at, length = draw.randrange(len(data)), draw.randrange(1, 9)
    kind = draw.randrange(5)
    if kind == 0:
        data[at] ^= 1 << draw.randrange(8)
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at:at] = data[at : at + length]
    else:
        data[at:at] = draw.randbytes(length)
    return bytes(data)


def mutate_field(request, draw):
    """Changes what one tensor says of itself, or its bytes."""
    tensor = getattr(request, draw.choice(TENSORS))
    kind = draw.randrange(6)
    if kind == 0:
        tensor.dtype = draw.choice(("f32", "f64", "i64", "bool", "", "f16", "f32\0"))
    elif kind == 1 and tensor.shape:
        tensor.shape[draw.randrange(len(tensor.shape))] = draw.choice(SIZES)
    elif kind == 2:
        tensor.shape.append(draw.choice(SIZES))
    elif kind == 3:
        tensor.data = tensor.data[: draw.randrange(len(tensor.data) + 1)]
    elif kind == 4:
        tensor.data = draw.randbytes(len(tensor.data))
    else:
        tensor.CopyFrom(getattr(request, draw.choice(TENSORS)))


def mutant(valid, draw):
    """One to three changes of the structure, then perhaps one of the bytes."""
    request = dynamics_pb2.PredictRequest()
    request.CopyFrom(valid)
    for _ in range(draw.randrange(4)):
        mutate_field(request, draw)
    data = request.SerializeToString() or b"\0"
    return mutate_bytes(data, draw) if draw.random() < 0.5 else data


@pytest.mark.reliability(13, "rpc_fuzz")
def test_mutants_are_refused_or_answered_and_leave_nothing_behind(peer, model, record_property):
    draw, seen, faults = random.Random(20), Counter(), set()
    valid = predict_request(model.describe())
    process, before = psutil.Process(peer.pid), 0
    with raw(peer.dynamics, "/moma_core.pb.Dynamics/Predict") as call:
        end = time.monotonic() + SECONDS
        while sum(seen.values()) < MUTANTS and time.monotonic() < end:
            status, text = call(mutant(valid, draw))
            seen[status] += 1
            if status not in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT):
                faults.add((status, text))
            if sum(seen.values()) == WARM:
                before = process.memory_info().rss
        assert call(valid.SerializeToString()) == (grpc.StatusCode.OK, "")
    record_property("tried", sum(seen.values()))
    record_property("passed", sum(seen.values()) - len(faults))
    assert faults == set()
    assert sum(seen.values()) >= FEWEST
    assert min(seen[grpc.StatusCode.OK], seen[grpc.StatusCode.INVALID_ARGUMENT]) > 10
    assert process.memory_info().rss - before < RSS_GROWTH
