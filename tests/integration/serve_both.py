"""A process that serves the tiny model and a learner, for tests that send it rubbish.

`python -m tests.integration.serve_both RUN`: one line of JSON with both addresses, then it serves
until its standard input closes. Shapes are not checked by beartype here: as in a user's process.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from model_server.serving.batching import Batching
from moma_core.rpc.dynamics import serve_dynamics
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.learner import serve_learner
from moma_core.runtime import process
from moma_core.runtime.run import RunDirectory
from tests.integration.parts import make_service, open_model


def main():
    process.compute_on(0)
    run = RunDirectory.open(Path(sys.argv[1]))
    model = Batching(open_model(run))
    dynamics = serve_dynamics(model, Endpoint())
    learner = serve_learner(make_service(run), Endpoint())
    addresses = {
        "pid": os.getpid(),
        "dynamics": str(dynamics.address),
        "learner": str(learner.address),
    }
    sys.stdout.write(json.dumps(addresses) + "\n")
    sys.stdout.flush()
    while os.read(0, 1):
        pass
    for server in (dynamics, learner):
        server.stop(0.5)
    model.close()


if __name__ == "__main__":
    main()
