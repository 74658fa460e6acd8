"""The `Learner` port over gRPC: its client and its server."""

from __future__ import annotations

from moma_core import documents
from moma_core.address import Address
from moma_core.checks import check_worker
from moma_core.pb import learner_pb2, learner_pb2_grpc
from moma_core.ports import InvalidFieldError, QueuedLearner, Run
from moma_core.rpc import codec
from moma_core.rpc import run as rpc_run
from moma_core.rpc.channel import Persistence, call, connect, once
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.handlers import Later, Methods
from moma_core.rpc.server import RunningServer, serve
from moma_core.rpc.trust import Pass
from moma_core.types import Assignment, PolicySnapshot, Receipt, RunCard, Trajectory

_CALL_S = 10.0
_BULK_S = 60.0
_LEAST_WAIT_S, _MAX_WAIT_S = 0.1, 30.0
"""A no is given after so many seconds at the least, or who only asks could ask all the time."""


class LearnerClient:
    """A learner on the other side of an address."""

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
        self._stub = learner_pb2_grpc.LearnerStub(self._channel)
        self._patience = patience

    def describe(self) -> RunCard:
        """Returns what a worker has to know of the run."""
        request = learner_pb2.DescribeRunRequest()
        reply = self._patience(lambda: call(self._stub.Describe, request, _CALL_S))
        return documents.parse(RunCard, reply.card, "the learner's card")

    def assign(self, worker: str, incarnation: int, wait_s: float) -> Assignment:
        """Asks for the next segment to make.

        Args:
            worker: who asks, by its name in the run.
            incarnation: how often that worker had been started before.
            wait_s: how long the learner may wait for a segment, in seconds.
        """
        request = learner_pb2.AssignRequest(worker=worker, incarnation=incarnation, wait_s=wait_s)
        reply = self._patience(lambda: call(self._stub.Assign, request, wait_s + _CALL_S))
        return codec.decode(Assignment, reply)

    def fetch_policy(self) -> PolicySnapshot:
        """Asks for the actors."""
        request = learner_pb2.FetchPolicyRequest()
        reply = self._patience(lambda: call(self._stub.FetchPolicy, request, _BULK_S))
        return codec.decode(PolicySnapshot, reply)

    def submit(self, trajectory: Trajectory) -> Receipt:
        """Sends one whole segment."""
        request = codec.encode(trajectory, learner_pb2.Trajectory())
        reply = self._patience(lambda: call(self._stub.Submit, request, _BULK_S))
        return codec.decode(Receipt, reply)

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


def serve_learner(
    learner: QueuedLearner, endpoint: Endpoint, run: Run | None = None
) -> RunningServer:
    """Serves a `Learner`.

    Args:
        learner: asked for work.
        endpoint: where to listen, and with which keys.
        run: asked for all else, at the same address.
    """

    def describe(_: object, __: float) -> learner_pb2.DescribeRunReply:
        return learner_pb2.DescribeRunReply(card=documents.dump(learner.describe()))

    def assign(request: learner_pb2.AssignRequest, _: float) -> learner_pb2.Assignment | Later:
        check_worker(request.worker, request.incarnation)
        if not 0 <= request.wait_s <= _MAX_WAIT_S:
            raise InvalidFieldError(f"wait_s: {request.wait_s}, need 0 to {_MAX_WAIT_S}")
        wait_s = max(_LEAST_WAIT_S, request.wait_s)
        asked = learner.ask(request.worker, request.incarnation, wait_s)

        def answer() -> learner_pb2.Assignment:
            return codec.encode(learner.answer(asked), learner_pb2.Assignment())

        return answer() if asked.done() else Later(asked, wait_s, answer)

    def fetch_policy(_: object, __: float) -> learner_pb2.PolicySnapshot:
        return codec.encode(learner.fetch_policy(), learner_pb2.PolicySnapshot())

    def submit(request: learner_pb2.Trajectory, _: float) -> learner_pb2.Receipt:
        receipt = learner.submit(codec.decode(Trajectory, request))
        return codec.encode(receipt, learner_pb2.Receipt())

    methods: Methods = {
        "Describe": (learner_pb2.DescribeRunRequest, describe),
        "Assign": (learner_pb2.AssignRequest, assign),
        "FetchPolicy": (learner_pb2.FetchPolicyRequest, fetch_policy),
        "Submit": (learner_pb2.Trajectory, submit),
    }
    services = {"moma_core.pb.Learner": methods}
    if run is not None:
        services[rpc_run.SERVICE] = rpc_run.methods(run)
    return serve(services, endpoint, rpc_run.OPERATORS)
