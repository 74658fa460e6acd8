"""A run that others join, scale, look at and stop, with its address and a token alone."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from moma.engines import keys
from moma_core.address import Address
from moma_core.rpc.run import RunClient
from moma_core.rpc.trust import Keys
from tests.e2e.commands import EXACT, Command, alive, pids_of, processes, read, rounds, until

START_S, SOON_S, STOP_S = 240, 5, 20


def own_address():
    """An address of this machine by which others reach it."""
    for entries in psutil.net_if_addrs().values():
        for entry in entries:
            if entry.family == socket.AF_INET and not Address(entry.address, 1).loopback:
                return entry.address
    return None


@pytest.fixture
def elsewhere(tmp_path):
    """A directory with nothing but a worker's token and the authority's certificate."""
    keys.make(tmp_path / "keys", (), 1, mutual=False)
    place = tmp_path / "elsewhere"
    place.mkdir()
    for name in ("worker.token", "ca.pem"):
        shutil.copy(tmp_path / "keys" / name, place / name)
    return place


@pytest.fixture
def there(elsewhere):
    """Starts commands in that directory."""
    started = []

    def start(*words):
        started.append(Command(elsewhere, f"there-{len(started)}", words))
        return started[-1]

    yield start
    for command in started:
        command.finish()


def asked(client):
    """What the learner says of everybody, by name."""
    return {role["name"]: role for role in json.loads(client.status())["roles"]}


def holding(paths, pids, secrets):
    """The files, command lines and environments that hold a secret."""
    places = {str(path): path for path in paths}
    places |= {f"{pid} {kind}": Path(f"/proc/{pid}/{kind}")
               for pid in pids for kind in ("cmdline", "environ")}  # fmt: skip
    found = []
    for name, path in places.items():
        try:
            content = path.read_bytes()
        except OSError:  # it has ended
            continue
        found += [name for secret in secrets if secret in content]
    return found


@pytest.mark.timeout(900)
def test_a_run_is_joined_scaled_looked_at_and_stopped_from_elsewhere(moma, there, tmp_path):
    if (host := own_address()) is None:
        pytest.skip("this machine has no address but loopback's")
    run, secret = tmp_path / "run", tmp_path / "keys"
    words = ("--listen", f"{host}:0", "--keys", secret, "--workers", "1", "--ppo.rounds", "5000")
    train = moma("train", "reacher-tiny", "--run-dir", run, *EXACT, *words)
    until(lambda: rounds(run) >= 2, START_S, "second round", train)
    address = read(run / "addresses" / "learner.json")["address"]
    assert address.startswith(f"{host}:")
    guest = there("work", "--join", address, "--token-file", "worker.token")
    with closing(RunClient(Address.parse(address), trust=Keys(secret).of("operator"))) as client:
        name = joined(client, guest)
        client.scale(4)
        scaled(client, run, train, 4)
        pids = [*pids_of(run), guest.pid, *children(guest)]
        assert "to keep 2 workers" in said(moma("scale", run, "--workers", "2"))
        scaled(client, run, train, 2)
        looked_at(said(moma("status", run)), name)
        refused = there("stop", address, "--token-file", "worker.token")
        assert refused.wait(START_S) == 2
        assert "takes the run's operator token" in refused.err
        kept_secret(tmp_path, pids)
        guest.process.terminate()
        assert guest.wait(START_S) == 3, guest.err
        begun = time.monotonic()
        client.stop()
        assert train.wait(STOP_S) == 3, train.err
        assert time.monotonic() - begun < STOP_S
    assert f"go on with: moma train --resume {run}" in train.err
    assert alive(pids) == []
    assert "learner ended" in said(moma("status", run))
    resumed(moma, run)


def joined(client, guest):
    """Waits for a guest's worker and what it makes; returns its name."""

    def others():
        return {name for name in asked(client) if not name.startswith(("worker-", "model server"))}

    (name,) = until(others, START_S, "worker that joins", guest)
    begun = time.monotonic()
    assert name.startswith(f"{socket.gethostname()}-{guest.pid}-")
    until(lambda: asked(client)[name]["version"], START_S, "accepted rollouts", guest)
    assert time.monotonic() - begun < SOON_S
    assert "fetched the model" in guest.err
    return name


def looked_at(text, name):
    """The status says of each role where it is and when it was heard of."""
    here = socket.gethostname()
    for part in (f"worker-1: {here}, process", f"{name}: version", "/s, seen", "learner running",
                 "s ago)"):  # fmt: skip
        assert part in text
    assert re.search(r"(imagines|waits for work) since \d+ s", text)
    assert "STALE" not in text


def kept_secret(directory, pids):
    """No token is in a file that was written, on a command line or in an environment."""
    holders = [directory / "keys" / f"{role}.token" for role in ("worker", "operator")]
    secrets = [path.read_bytes().strip() for path in holders]
    own = {directory / "keys", directory / "elsewhere"}
    written = [path for path in directory.rglob("*") if path.is_file() and path.parent not in own]
    assert any("events.out" in path.name for path in written)
    assert holding(written, pids, secrets) == []
    assert holding(holders, pids, secrets) == [str(path) for path in holders]


def resumed(moma, run):
    """Goes on from the checkpoint of the stop, and is stopped by its directory."""
    done = rounds(run)
    assert (run / "checkpoints" / f"{done:08d}" / "manifest.json").exists()
    again = moma("train", "--resume", run)
    until(lambda: rounds(run) > done, START_S, "round after the resume", again)
    assert "has ended" in said(moma("stop", run))
    assert again.wait(STOP_S) == 3


def children(command):
    """The processes below a command."""
    return [child.pid for child in psutil.Process(command.pid).children(recursive=True)]


def said(command):
    """What a command says; it has to end well."""
    assert command.wait(START_S) == 0, command.err
    return command.out


def scaled(client, run, train, count):
    """Waits until so many workers are there, others gone, and rounds go on."""
    wanted = {f"worker-{number}" for number in range(count)}

    def there():
        table = processes(run)
        return {name for name in table if name.startswith("worker-")} == wanted

    until(there, START_S, f"table of {count} workers", train)
    until(lambda: all(asked(client).get(name, {}).get("version") for name in wanted), START_S,
          "accepted rollouts of them all", train)  # fmt: skip
    before = rounds(run)
    until(lambda: rounds(run) > before, START_S, "round after it", train)


def test_work_beyond_loopback_without_a_token_is_refused(moma):
    worker = moma("work", "--join", "192.0.2.200:80")
    assert worker.wait(START_S) == 2
    assert "give --token-file" in worker.err
