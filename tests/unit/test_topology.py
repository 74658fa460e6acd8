"""Who serves a run's model on which nodes and how many cores, and who asks whom."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moma.engines import training
from moma.engines.topology import Further, Plan, Server, Worker, plan
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


# (cores of the first node, of further ones, workers, servers): (servers, workers) by node, near
NODES = {
    (2, (2, 2), 6, 0): ((2, 2, 2), (2, 2, 2)),
    (2, (2, 2), 4, 0): ((2, 1, 1), (2, 1, 1)),
    (2, (2, 2), 3, 3): ((1, 1, 1), (1, 1, 1)),
    (4, (4,), 8, 0): ((4, 4), (4, 4)),
    (2, (16, 16), 30, 6): ((2, 2, 2), (10, 10, 10)),
    (64, (64,), 7, 4): ((2, 2), (4, 3)),
}


@pytest.mark.parametrize(("cores", "further", "workers", "servers"), NODES)
def test_near_every_node_serves_its_own_workers(cores, further, workers, servers):
    by_node, working = NODES[cores, further, workers, servers]
    found = plan(
        cores=range(cores),
        threads=cores,
        workers=workers,
        servers=servers,
        further=Further(cores=further),
    )
    nodes = range(1 + len(further))
    assert tuple(sum(s.node == node for s in found.servers) for node in nodes) == by_node
    assert tuple(sum(w.node == node for w in found.workers) for node in nodes) == working
    for worker in found.workers:
        assert found.servers[worker.server].node == worker.node
    for node, have in zip(nodes, (cores, *further), strict=True):
        threads = [server.threads for server in found.servers if server.node == node]
        assert sum(threads) <= have or set(threads) == {1}
    assert {role.core for role in (*found.servers, *found.workers) if role.node} == {None}


def test_the_first_node_of_many_is_planned_as_if_it_were_alone():
    alone = plan(cores=range(4), threads=4, workers=4)
    many = plan(cores=range(4), threads=4, workers=12, further=Further(cores=(4, 4)))
    assert tuple(server for server in many.servers if server.node == 0) == alone.servers
    assert tuple(worker for worker in many.workers if worker.node == 0) == alone.workers


def test_central_servers_are_all_on_the_first_node_and_workers_spread():
    found = plan(
        cores=range(2), threads=2, workers=5, further=Further(cores=(8, 8), placement="central")
    )
    assert [server.node for server in found.servers] == [0, 0]
    assert [worker.node for worker in found.workers] == [0, 0, 1, 1, 2]
    assert Counter(worker.server for worker in found.workers) == {0: 3, 1: 2}
    assert [worker.core for worker in found.workers] == [0, 1, None, None, None]


@pytest.mark.parametrize("where", [{"device": "cuda"}, {"dynamics": "simulator"}])
def test_a_device_of_each_node_or_of_one_serves(where):
    near = plan(cores=range(2), threads=2, workers=4, further=Further(cores=(8,)), **where)
    assert near.servers == (
        Server(threads=2, direct=False, core=None),
        Server(threads=8, direct=False, core=None, node=1),
    )
    assert [(w.node, w.server) for w in near.workers] == [(0, 0), (0, 0), (1, 1), (1, 1)]
    central = plan(
        cores=range(2),
        threads=2,
        workers=4,
        further=Further(cores=(8,), placement="central"),
        **where,
    )
    assert central.servers == near.servers[:1]
    assert [(w.node, w.server) for w in central.workers] == [(0, 0), (0, 0), (1, 0), (1, 0)]


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
