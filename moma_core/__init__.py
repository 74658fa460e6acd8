"""The kernel: what two roles must agree on. It knows no role."""

import os

if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    # For how long torch's threads spin where they wait for each other, read when torch is loaded.
    # By default it is so long that another job on one of the cores makes an update of 0.2 s last
    # 8 s; with this 0.7 s, and 2 to 5 % more than by default where there is none
    # (docs/performance.md).
    os.environ["GOMP_SPINCOUNT"] = "3000"
