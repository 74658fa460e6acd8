"""Machines that are not there: namespaces of this one, each with a name, an address and processes.

A machine has its own network (a veth on a bridge), host name, process numbers and /etc/hosts, and
shares the disk. What runs on it ends when its first process does, as if its power had failed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

BRIDGE, DEVICE = f"mb{os.getpid()}", f"m{os.getpid()}x"
"""Names of the network's devices here; another session of tests has others."""
NETWORK = "10.77.0"
_FIRST = "sleep infinity & wait"
"""First process of a machine; a shell, since it takes in orphans."""


def missing(*programs: str) -> str:
    """Returns why machines cannot be made here; empty where they can."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    lacking = [name for name in ("ip", "unshare", "nsenter", *programs) if not shutil.which(name)]
    if lacking:
        return f"needs {', '.join(lacking)}: scripts/test --cluster installs them"
    tried = subprocess.run(
        ["unshare", "-n", "-u", "-m", "-p", "-f", "true"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else f"no namespaces here: {tried.stderr.decode().strip()}"


@dataclass
class Machine:
    """One of them."""

    name: str
    address: str
    pid: int
    """First process, as the host numbers it."""
    _device: str
    _first: subprocess.Popen[bytes]
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def words(self, *command: object) -> list[str]:
        """Returns a command line that runs on this machine."""
        enter = ["nsenter", "--target", str(self.pid), "--net", "--uts", "--mount", "--pid"]
        enter += ["--wd=."]  # or it begins in the root directory
        return [*enter, "--", *map(str, command)]

    def start(self, *command, log: Path, env=None, cwd=None) -> subprocess.Popen[bytes]:
        """Starts a command there; its output goes to a file."""
        with log.open("ab") as output:
            started = subprocess.Popen(
                self.words(*command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd=cwd,
            )
        self._started.append(started)
        return started

    def call(self, *command, env=None, cwd=None, timeout=300) -> str:
        """Runs a command there to its end; returns what it printed."""
        done = subprocess.run(
            self.words(*command),
            capture_output=True,
            text=True,
            check=False,
            env=env,
            cwd=cwd,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def lose(self) -> None:
        """Ends the machine and all that runs there, without a word to anybody."""
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._device)
        for child in _children(self._first.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, 9)
        self._first.kill()
        for process in (self._first, *self._started):
            process.wait(10)


class Machines:
    """Some of them on one network, for the length of a `with`."""

    def __init__(self, names: list[str], directory: Path) -> None:
        self._names, self._directory = names, directory
        self._made: dict[str, Machine] = {}

    def __enter__(self) -> dict[str, Machine]:
        _clean(len(self._names))
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("link", "set", BRIDGE, "up")
        hosts = self._directory / "hosts"
        lines = [f"{NETWORK}.{i} {name}" for i, name in enumerate(self._names, 1)]
        hosts.write_text("\n".join(["127.0.0.1 localhost", *lines]) + "\n")
        for index, name in enumerate(self._names, 1):
            self._made[name] = _make(index, name, hosts)
        return self._made

    def __exit__(self, *_: object) -> None:
        for machine in self._made.values():
            machine.lose()
        _clean(len(self._names))


def _make(index: int, name: str, hosts: Path) -> Machine:
    script = f"hostname {name} && mount --bind {hosts} /etc/hosts && echo up && {_FIRST}"
    first = subprocess.Popen(
        ["unshare", "-n", "-u", "-m", "-p", "-f", "--mount-proc", "bash", "-c", script],
        stdout=subprocess.PIPE,
    )
    assert first.stdout is not None
    assert first.stdout.readline() == b"up\n"
    first.stdout.close()
    (pid,) = _children(first.pid)
    near, far, address = f"{DEVICE}{index}", f"{DEVICE}{index}e", f"{NETWORK}.{index}"
    _ip("link", "add", near, "type", "veth", "peer", "name", far)
    _ip("link", "set", near, "master", BRIDGE, "up")
    _ip("link", "set", far, "netns", str(pid))
    machine = Machine(name, address, pid, near, first)
    machine.call("ip", "link", "set", far, "name", "eth0")
    machine.call("ip", "addr", "add", f"{address}/24", "dev", "eth0")
    for device in ("lo", "eth0"):
        machine.call("ip", "link", "set", device, "up")
    return machine


def _children(pid: int) -> list[int]:
    text = (
        Path(f"/proc/{pid}/task/{pid}/children").read_text()
        if Path(f"/proc/{pid}").exists()
        else ""
    )
    return [int(word) for word in text.split()]


def _clean(count: int) -> None:
    for device in (BRIDGE, *(f"{DEVICE}{index}" for index in range(1, count + 1))):
        subprocess.run(["ip", "link", "del", device], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
