"""The `Run` port over gRPC: its client, and the methods that a learner's server answers beside."""

from __future__ import annotations

from moma_core.address import Address
from moma_core.pb import run_pb2, run_pb2_grpc
from moma_core.ports import InvalidFieldError, Run
from moma_core.rpc.channel import Persistence, call, connect, once
from moma_core.rpc.handlers import Methods
from moma_core.rpc.trust import Pass
from moma_core.types import ModelPart

SERVICE = "moma_core.pb.Run"
OPERATORS = ("Status", "Stop", "Scale")
"""Methods that take the operator's token."""
MOST_WORKERS = 10_000
_CALL_S = 10.0
_BULK_S = 60.0


class RunClient:
    """A run whose learner is on the other side of an address."""

    def __init__(
        self, address: Address, patience: Persistence = once, trust: Pass | None = None
    ) -> None:
        """Connects at the first call.

        Args:
            address: where the learner is called.
            patience: how to ask: `Patience` asks again while the peer is away.
            trust: what to show it and to know it by; None: plaintext, on loopback.
        """
        self.address = address
        self._channel = connect(address, trust)
        self._stub = run_pb2_grpc.RunStub(self._channel)
        self._patience = patience

    def fetch_model(self, digest: str, file: str, offset: int) -> ModelPart:
        """Asks for some of a model's file.

        Args:
            digest: the model's.
            file: the file's name.
            offset: bytes of it that are there already.
        """
        request = run_pb2.FetchModelRequest(digest=digest, file=file, offset=offset)
        reply = self._patience(lambda: call(self._stub.FetchModel, request, _BULK_S))
        return ModelPart(data=reply.data, size=reply.size)

    def status(self) -> str:
        """Returns how it goes, as JSON."""
        request = run_pb2.StatusRequest()
        return str(self._patience(lambda: call(self._stub.Status, request, _CALL_S)).status)

    def stop(self) -> None:
        """Asks the run to save and to end."""
        request = run_pb2.StopRequest()
        self._patience(lambda: call(self._stub.Stop, request, _CALL_S))

    def scale(self, workers: int) -> None:
        """Asks the run to keep so many workers."""
        request = run_pb2.ScaleRequest(workers=workers)
        self._patience(lambda: call(self._stub.Scale, request, _CALL_S))

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


def methods(run: Run) -> Methods:
    """Returns what answers the service's calls."""

    def fetch_model(request: run_pb2.FetchModelRequest, _: float) -> run_pb2.ModelPart:
        part = run.fetch_model(request.digest, request.file, request.offset)
        return run_pb2.ModelPart(data=part.data, size=part.size)

    def status(_: object, __: float) -> run_pb2.StatusReply:
        return run_pb2.StatusReply(status=run.status())

    def stop(_: object, __: float) -> run_pb2.StopReply:
        run.stop()
        return run_pb2.StopReply()

    def scale(request: run_pb2.ScaleRequest, _: float) -> run_pb2.ScaleReply:
        if not 1 <= request.workers <= MOST_WORKERS:
            raise InvalidFieldError(f"workers: {request.workers}, need 1 to {MOST_WORKERS}")
        run.scale(request.workers)
        return run_pb2.ScaleReply()

    return {
        "FetchModel": (run_pb2.FetchModelRequest, fetch_model),
        "Status": (run_pb2.StatusRequest, status),
        "Stop": (run_pb2.StopRequest, stop),
        "Scale": (run_pb2.ScaleRequest, scale),
    }
