"""A Ray of one node for each machine, each with namespaces and a temp directory of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

PORT = 6379
CORES = 2
_RAY = (Path(sys.executable).parent / "ray").as_posix()


class Ray:
    """Started on machines, the first of which is the head; `env` is that of its clients."""

    def __init__(self, machines, directory: Path) -> None:
        self.machines, self._at = machines, directory
        # Ray turns authentication on by itself where a head is started; all nodes must agree.
        self.env = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        # By default what Ray starts lets everything else go first, for ever where cores are few.
        self.env |= {"RAY_worker_niceness": "0"}
        self.address = f"{machines[0].address}:{PORT}"

    def __enter__(self) -> Ray:
        self._at.mkdir()
        for machine in self.machines:
            self.begin(machine)
        end = time.monotonic() + 60
        while self.nodes() != len(self.machines):
            assert time.monotonic() < end, self.log()
        return self

    def nodes(self) -> int:
        """Returns how many nodes are alive."""
        program = (
            f"import ray; ray.init(address={self.address!r}, log_to_driver=False)\n"
            "print(sum(node['Alive'] for node in ray.nodes()))"
        )
        words = self.machines[0].words(sys.executable, "-c", program)
        done = subprocess.run(
            words, env=self.env, capture_output=True, text=True, timeout=300, check=False
        )
        return 0 if done.returncode else int(done.stdout.split()[-1])

    def begin(self, machine) -> None:
        """Starts a machine's node."""
        temp = Path(f"/tmp/moma-ray-{os.getpid()}")  # sockets' paths have 107 characters at most
        temp.mkdir(exist_ok=True)
        machine.call("mount", "-t", "tmpfs", "none", temp)  # no node sees another one's files
        words = ["--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={temp}"]
        if machine is not self.machines[0]:
            words = [f"--address={self.address}"]
        words += [f"--node-ip-address={machine.address}", f"--num-cpus={CORES}"]
        words += ["--object-store-memory=100000000", "--disable-usage-stats", "--block"]
        machine.start(_RAY, "start", *words, log=self._at / "out.log", env=self.env)

    def log(self) -> str:
        return (self._at / "out.log").read_text()

    def __exit__(self, *_: object) -> None:
        """The machines end it."""
