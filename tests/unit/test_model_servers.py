"""What several servers of one model count together, and which of them a worker asks by itself."""

from __future__ import annotations

from moma_core.address import Address
from moma_core.rpc.pool import together
from rollout_workers.process import order


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
    orders = [order(addresses, f"host-{number}") for number in range(300)]
    assert orders == [order(addresses, f"host-{number}") for number in range(300)]
    own = [first for first, *_ in orders]
    assert all(70 <= own.count(address) <= 130 for address in addresses)
    assert all(sorted(asked, key=str) == addresses for asked in orders)
    assert order((), "host-1") == ()
