"""How many processes serve a run's model, with how many cores each, and who asks which of them."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from moma.engines.cluster import home, model_servers, model_threads
from moma_core import recipes
from moma_core.address import Address
from moma_core.rpc.pool import together
from rollout_workers.__main__ import _of

CONFIG = recipes.get("reacher-tiny")


@pytest.mark.parametrize(
    ("settings", "servers", "threads"),
    [
        ({"workers": 1, "threads": 8}, 1, 8),
        ({"workers": 2, "threads": 8}, 2, 4),
        ({"workers": 16, "threads": 8}, 4, 2),
        ({"workers": 16, "threads": 2}, 2, 1),
        ({"workers": 16, "threads": 1}, 1, 1),
        ({"workers": 2, "threads": 8, "model_servers": 1}, 1, 8),
        ({"workers": 2, "threads": 8, "model_servers": 8}, 8, 1),
        ({"workers": 2, "threads": 2, "model_servers": 3}, 3, 1),
        ({"workers": 16, "threads": 8, "dynamics": "simulator"}, 1, 8),
        ({"workers": 16, "threads": 8, "device": "cuda"}, 1, 8),
    ],
)
def test_servers_share_the_cores_and_there_are_no_more_than_anyone_asks(settings, servers, threads):
    config = replace(CONFIG, **settings)
    assert model_servers(config) == servers
    assert model_threads(config) == threads


@pytest.mark.parametrize(
    ("cores", "servers", "homes"),
    [
        ({3, 7}, 2, [{3}, {7}, {3}, {7}]),
        ({0, 1, 2, 3}, 4, [{0}, {1}, {2}, {3}]),
        ({0, 1, 2, 3}, 2, [None] * 4),  # cores to spare
        ({0, 1}, 3, [None] * 4),
        ({5}, 1, [None] * 4),
    ],
)
def test_a_server_and_its_workers_keep_to_a_core_where_every_core_has_its_server(
    monkeypatch, cores, servers, homes
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores, raising=False)
    assert [home(index, servers) for index in range(4)] == homes


def test_where_the_system_has_no_such_thing_nobody_keeps_to_a_core(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert home(0, os.cpu_count()) is None


def test_counts_of_all_servers_are_added_and_times_are_the_slowest_ones():
    one = {
        "model_server/rows": 100.0,
        "model_server/batches": 10.0,
        "model_server/rows_per_batch": 10.0,
        "model_server/queue_ms_p50": 3.0,
    }
    other = {
        "model_server/rows": 300.0,
        "model_server/batches": 10.0,
        "model_server/rows_per_batch": 30.0,
        "model_server/queue_ms_p50": 1.0,
    }
    assert together([one]) == one
    assert together([one, other]) == {
        "model_server/rows": 400.0,
        "model_server/batches": 20.0,
        "model_server/rows_per_batch": 20.0,
        "model_server/queue_ms_p50": 3.0,
    }
    assert together([]) == {}


def test_a_worker_that_is_told_nothing_keeps_to_one_server_and_workers_spread():
    addresses = [Address("host", port) for port in (1, 2, 3)]
    chosen = [_of(addresses, f"host-{number}") for number in range(300)]
    assert chosen == [_of(addresses, f"host-{number}") for number in range(300)]
    assert all(70 <= chosen.count(address) <= 130 for address in addresses)
