"""Calls over a bare channel: bytes in, status and text out, as a stranger would send them."""

from __future__ import annotations

from contextlib import contextmanager

import grpc

from moma_core.pb import dynamics_pb2
from moma_core.rpc import codec
from tests.integration.parts import make_rows

UNLIMITED = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class Raw:
    """One method of one service, asked with bytes."""

    def __init__(self, channel, method):
        plain = {"request_serializer": lambda raw: raw, "response_deserializer": lambda raw: raw}
        if method.endswith("/Predict"):
            stream = channel.stream_stream(method, **plain)
            self._ask = lambda request, timeout: next(stream(iter([request]), timeout=timeout))
        else:
            self._ask = channel.unary_unary(method, **plain)

    def __call__(self, request, timeout_s=20.0):
        """Returns the status and its text."""
        try:
            self._ask(request, timeout=timeout_s)
        except grpc.RpcError as error:
            return error.code(), error.details() or ""
        return grpc.StatusCode.OK, ""


@contextmanager
def raw(address, method):
    """Yields the method behind an address."""
    with grpc.insecure_channel(str(address), options=UNLIMITED) as channel:
        yield Raw(channel, method)


def predict_request(card, rows=4):
    """A valid request as a message."""
    return codec.encode(make_rows(card, rows), dynamics_pb2.PredictRequest())
