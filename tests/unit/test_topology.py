"""Who serves a run's model on how many cores, and who asks whom."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moma.engines import training
from moma.engines.topology import Plan, Server, Worker, plan
from moma_core import recipes
from moma_core.runtime import process

COUNTS = (1, 2, 4, 16, 64)

# (cores, workers): servers, batches at once, whether each keeps to a core of its own
TABLE = {
    (1, 1): (1, 1, False),
    (1, 2): (1, 1, False),
    (1, 16): (1, 1, False),
    (2, 1): (1, 1, False),
    (2, 2): (2, 1, True),
    (2, 3): (2, 1, True),
    (2, 16): (2, 1, True),
    (4, 1): (1, 1, False),
    (4, 2): (2, 1, False),
    (4, 3): (3, 1, False),
    (4, 4): (4, 1, True),
    (4, 16): (4, 1, True),
    (16, 1): (1, 1, False),
    (16, 2): (2, 1, False),
    (16, 16): (16, 1, True),
    (16, 64): (16, 1, True),
    (64, 1): (1, 1, False),
    (64, 2): (2, 1, False),
    (64, 16): (16, 1, False),
    (64, 64): (64, 1, True),
    (64, 100): (64, 1, True),
}


@pytest.mark.parametrize(("cores", "workers"), TABLE)
def test_a_server_for_each_worker_while_there_are_cores(cores, workers):
    servers, threads, pinned = TABLE[cores, workers]
    numbers = range(100, 100 + cores)
    found = plan(cores=numbers, threads=cores, workers=workers)
    homes = list(numbers) if pinned else [None] * servers
    assert found.servers == tuple(Server(threads=threads, direct=True, core=h) for h in homes)
    assert found.workers == tuple(
        Worker(server=i % servers, core=homes[i % servers]) for i in range(workers)
    )


def test_two_workers_on_two_cores_have_a_server_and_a_core_each():
    assert plan(cores=[3, 7], threads=2, workers=2) == Plan(
        servers=(Server(threads=1, direct=True, core=3), Server(threads=1, direct=True, core=7)),
        workers=(Worker(server=0, core=3), Worker(server=1, core=7)),
    )


@pytest.mark.parametrize(
    ("cores", "workers", "asked", "servers", "threads"),
    [
        (8, 2, 1, 1, 2),  # two callers: no more than two batches would ever run
        (8, 16, 1, 1, 8),
        (8, 16, 4, 4, 2),
        (8, 2, 8, 8, 1),  # six wait for workers that join by hand
        (2, 2, 3, 3, 1),
        (64, 16, 4, 4, 4),
    ],
)
def test_as_many_servers_as_are_asked_for_share_the_cores(cores, workers, asked, servers, threads):
    found = plan(cores=range(cores), threads=cores, workers=workers, servers=asked)
    assert len(found.servers) == servers
    assert {server.threads for server in found.servers} == {threads}
    assert {server.direct for server in found.servers} == {threads == 1}


@pytest.mark.parametrize("where", [{"device": "cuda"}, {"dynamics": "simulator"}])
@pytest.mark.parametrize("cores", COUNTS)
def test_a_device_and_a_simulator_are_one_processs_and_have_all_cores(cores, where):
    found = plan(cores=range(cores), threads=cores, workers=16, servers=4, **where)
    assert found.servers == (Server(threads=cores, direct=False, core=None),)
    assert found.workers == (Worker(server=0, core=None),) * 16


def test_where_fewer_cores_may_be_used_than_there_are_nobody_keeps_to_one():
    found = plan(cores=range(64), threads=2, workers=2)  # a quota, or --threads 2
    assert [server.core for server in found.servers] == [None, None]


def test_where_the_system_keeps_nobody_to_a_core_neither_does_the_plan():
    found = plan(cores=(), threads=2, workers=2)
    assert [server.core for server in found.servers] == [None, None]


@given(
    cores=st.integers(1, 80),
    threads=st.integers(1, 80),
    workers=st.integers(1, 200),
    servers=st.integers(0, 80),
)
def test_every_plan_is_one_that_can_be_started(cores, threads, workers, servers):
    found = plan(cores=range(cores), threads=threads, workers=workers, servers=servers)
    count = len(found.servers)
    assert len(found.workers) == workers
    asked = Counter(worker.server for worker in found.workers)
    assert set(asked) <= set(range(count))
    assert set(asked) == set(range(min(count, workers)))  # nobody idles unless it was asked for
    assert max(asked.values()) <= math.ceil(workers / count)
    if not servers:
        assert count <= min(workers, threads)
    total = sum(server.threads for server in found.servers)
    assert total <= threads or {server.threads for server in found.servers} == {1}
    assert all(server.direct == (server.threads == 1) for server in found.servers)
    homes = {server.core for server in found.servers}
    assert homes == {None} or homes == set(range(cores))
    for worker in found.workers:
        assert worker.core == found.servers[worker.server].core
    for core in homes - {None}:
        assert sum(w.core == core for w in found.workers) <= math.ceil(workers / cores)
        assert sum(s.core == core for s in found.servers) == 1


def test_a_runs_settings_reach_its_plan(monkeypatch):
    monkeypatch.setattr(process, "own_cores", lambda: [0, 1])
    monkeypatch.setattr(process, "cores", lambda: 2)
    config = replace(recipes.get("reacher-tiny"), workers=2)
    assert training.plan(config) == plan(cores=[0, 1], threads=2, workers=2)
    changes = (
        ({"workers": 5}, {"workers": 5}),
        ({"threads": 1}, {"threads": 1}),
        ({"model_servers": 1}, {"servers": 1}),
        ({"device": "cuda"}, {"device": "cuda"}),
        ({"dynamics": "simulator"}, {"dynamics": "simulator"}),
    )
    for settings, given_ in changes:
        wanted = plan(**{"cores": [0, 1], "threads": 2, "workers": 2, **given_})
        assert training.plan(replace(config, **settings)) == wanted
        assert wanted != training.plan(config)
