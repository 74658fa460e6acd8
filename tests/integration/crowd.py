"""Callers of very many rows: `python -m tests.integration.crowd HOST:PORT CALLERS ROWS`."""

from __future__ import annotations

import sys
import time
from threading import Thread

import grpc

from moma_core.address import Address
from moma_core.pb import dynamics_pb2_grpc
from moma_core.rpc.channel import OPTIONS
from moma_core.rpc.dynamics import DynamicsClient
from tests.integration.raw import predict_request


def ask(address, request):
    """Asks over a connection of its own without end; one who is refused comes back at once."""
    options = (*OPTIONS, ("grpc.use_local_subchannel_pool", 1))
    stub = dynamics_pb2_grpc.DynamicsStub(grpc.insecure_channel(address, options))
    while True:
        try:
            for _ in stub.Predict(iter((request,)), timeout=60):
                pass
        except grpc.RpcError:
            time.sleep(0.01)


def main(address, callers, rows):
    """Asks by so many threads."""
    client = DynamicsClient(Address.parse(address))
    request = predict_request(client.describe(), rows)
    client.close()
    for _ in range(callers):
        Thread(target=ask, args=(address, request)).start()
    sys.stdout.write("asks\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
