"""A run's workers on one node and on several: how many each has, and whom a change leaves alone."""

from __future__ import annotations

import pytest

from moma.engines.base import RoleSpec
from moma.engines.crew import Crew
from moma.engines.supervision import Supervisor


class NoEngine:
    def start(self, role, incarnation, address):
        raise AssertionError(role, incarnation, address)


class FakeSupervisor(Supervisor):
    """Notes what it was asked for."""

    def __init__(self):
        super().__init__(NoEngine(), str)
        self.running, self.released = {}, []

    def start(self, role):
        assert role.name not in self.running
        self.running[role.name] = role

    def release(self, name):
        self.released.append(name)
        del self.running[name]


def worker(number, count):
    words = (f"{number} of {count}",)
    return RoleSpec(name=f"worker-{number}", package="w", words=words, listening=None)


def part(node, count):
    words = (f"{count} workers",)
    return RoleSpec(
        name=f"node-{node}", package="moma", words=words, listening=None, node=node, joins=True
    )


@pytest.fixture
def supervisor():
    return FakeSupervisor()


def test_one_node_has_all_workers(supervisor):
    crew = Crew(supervisor, worker)
    crew.scale(3)
    assert (len(crew), list(supervisor.running)) == (3, ["worker-0", "worker-1", "worker-2"])
    crew.scale(1)
    assert (len(crew), supervisor.released) == (1, ["worker-2", "worker-1"])


def test_every_node_has_its_share_and_one_process_that_joins(supervisor):
    crew = Crew(supervisor, worker, part, nodes=3)
    crew.scale(7)
    assert len(crew) == 7
    shares = {role.node: role.words for role in supervisor.running.values() if role.node}
    assert shares == {1: ("2 workers",), 2: ("2 workers",)}
    assert [role.words for role in supervisor.running.values()][:3] == [
        ("0 of 3",),
        ("1 of 3",),
        ("2 of 3",),
    ]


def test_a_change_of_size_replaces_only_the_nodes_that_it_concerns(supervisor):
    crew = Crew(supervisor, worker, part, nodes=3)
    crew.scale(6)
    crew.scale(7)  # one more on this node
    assert supervisor.released == []
    crew.scale(8)  # and one more on the second
    assert supervisor.released == ["node-1"]
    grown = [role for role in supervisor.running.values() if role.node == 1]
    assert [(role.words, role.name != "node-1") for role in grown] == [(("3 workers",), True)]
    crew.scale(1)
    assert (len(crew), list(supervisor.running)) == (1, ["worker-0"])
    crew.scale(3)
    assert sorted(role.node for role in supervisor.running.values()) == [0, 1, 2]
