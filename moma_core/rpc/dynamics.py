"""The `Dynamics` port over gRPC: its client and its server."""

from __future__ import annotations

import math
import time

from moma_core import documents
from moma_core.address import Address
from moma_core.pb import dynamics_pb2, dynamics_pb2_grpc
from moma_core.ports import QueuedDynamics
from moma_core.rpc import codec
from moma_core.rpc.channel import ExpiredError, Persistence, call, connect, once
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.handlers import Methods
from moma_core.rpc.server import RunningServer, serve
from moma_core.rpc.streams import Streams
from moma_core.rpc.trust import Pass
from moma_core.types import Metrics, ModelCard, Prediction, Query

_DESCRIBE_S = 10.0
_PREDICT_S = 60.0


class DynamicsClient:
    """A model on the other side of an address."""

    def __init__(
        self, address: Address, patience: Persistence = once, trust: Pass | None = None
    ) -> None:
        """Connects at the first call.

        Args:
            address: where it is called.
            patience: how to ask: `Patience` asks again while the peer is away.
            trust: what to show it and to know it by; None: plaintext, on loopback.
        """
        self._channel = connect(address, trust)
        self._stub = dynamics_pb2_grpc.DynamicsStub(self._channel)
        self._predict = Streams(self._stub.Predict)
        self._patience = patience

    def describe(self) -> ModelCard:
        """Returns the model's card."""
        request = dynamics_pb2.DescribeModelRequest()
        reply = self._patience(lambda: call(self._stub.Describe, request, _DESCRIBE_S))
        return documents.parse(ModelCard, reply.card, "the model server's card")

    def predict(self, query: Query, deadline: float = math.inf) -> Prediction:
        """Predicts one step, with a deadline of a minute where the caller gives none."""
        request = codec.encode(query, dynamics_pb2.PredictRequest())

        def ask() -> dynamics_pb2.Prediction:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ExpiredError("the deadline of this prediction has passed")
            reply: dynamics_pb2.Prediction = call(self._predict, request, min(_PREDICT_S, left))
            return reply

        return codec.decode(Prediction, self._patience(ask))

    def metrics(self) -> Metrics:
        """Returns the server's counters."""
        request = dynamics_pb2.MetricsRequest()
        return dict(self._patience(lambda: call(self._stub.Metrics, request, _DESCRIBE_S)).values)

    def close(self) -> None:
        """Closes the channel."""
        self._predict.close()
        self._channel.close()


def serve_dynamics(dynamics: QueuedDynamics, endpoint: Endpoint) -> RunningServer:
    """Serves a `Dynamics`; what waits in its queue holds no thread."""

    def describe(_: object, __: float) -> dynamics_pb2.DescribeModelReply:
        return dynamics_pb2.DescribeModelReply(card=documents.dump(dynamics.describe()))

    async def predict(
        request: dynamics_pb2.PredictRequest, deadline: float
    ) -> dynamics_pb2.Prediction:
        prediction = await dynamics.queue(codec.decode(Query, request), deadline)
        return codec.encode(prediction, dynamics_pb2.Prediction())

    def metrics(_: object, __: float) -> dynamics_pb2.MetricsReply:
        return dynamics_pb2.MetricsReply(values=dynamics.metrics())

    methods: Methods = {
        "Describe": (dynamics_pb2.DescribeModelRequest, describe),
        "Predict": (dynamics_pb2.PredictRequest, predict),
        "Metrics": (dynamics_pb2.MetricsRequest, metrics),
    }
    return serve({"moma_core.pb.Dynamics": methods}, endpoint)
