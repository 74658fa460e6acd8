"""Somebody who only asks for work: `python -m tests.e2e.stranger HOST:PORT CALLS WAIT_S`.

So many calls at a time, sixteen over one connection, each under a name that nobody has had.
"""

from __future__ import annotations

import sys
import time
import uuid
from threading import Thread

import grpc

from moma_core.pb import learner_pb2, learner_pb2_grpc

_OF_ITS_OWN = (("grpc.use_local_subchannel_pool", 1),)
"""Otherwise all channels of a process share one connection."""


def ask(stub, wait_s):
    """Asks without end; one who is refused comes back a second later, as it is told to."""
    while True:
        request = learner_pb2.AssignRequest(worker=uuid.uuid4().hex, wait_s=wait_s)
        try:
            stub.Assign(request, timeout=wait_s + 10)
        except grpc.RpcError:
            time.sleep(1)


def main(address, calls, wait_s):
    """Asks by so many threads."""
    for number in range(calls):
        if number % 16 == 0:
            stub = learner_pb2_grpc.LearnerStub(grpc.insecure_channel(address, _OF_ITS_OWN))
        Thread(target=ask, args=(stub, wait_s)).start()
    sys.stdout.write("asks\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
