"""Ray on three machines: workers on every node, on with a node less, more and fewer workers."""

from __future__ import annotations

import pytest

pytest.importorskip("ray", reason='needs ray: pip install "moma-ppo[ray]"')

from moma_core.stopping import STOPPED
from tests.cluster.conftest import MOMA, START_S
from tests.cluster.ray_cluster import Ray

pytestmark = pytest.mark.timeout(1800)
WORDS = (
    "reacher-tiny", "--engine", "ray", "--nodes", "3", "--node-cores", "1", "--eval.every", "0",
    "--ppo.rounds", "100000",
)  # fmt: skip
GOES_ON_S = 30
"""Seconds within which a run that has lost a node is at a later round."""


@pytest.fixture
def cluster(made, tmp_path):
    machines = made("r0", "r1", "r2")
    with Ray(list(machines.values()), tmp_path / "ray") as started:
        yield started


@pytest.fixture
def train(cluster, run, tmp_path):
    """`train(*words)` starts a run on the cluster's first machine."""

    def start(*words):
        place = ("--run-dir", run.path, "--ray.address", cluster.address)
        command = (*MOMA, "train", *WORDS, *place, *words)
        return cluster.machines[0].start(*command, log=tmp_path / "train.out", env=cluster.env)

    return start


def hosts(run):
    """Role to the machine that it is on."""
    return {one["role"]: one["host"] for one in run.read("status.json").get("processes", [])}


def test_workers_are_spread_over_three_nodes_and_a_node_that_is_lost_is_done_without(
    cluster, run, train, tmp_path
):
    trained = train("--workers", "4")
    run.until(lambda: run.workers == 4 and run.round >= 3, START_S, "third round by four workers")
    found = hosts(run)
    assert (found["learner"], found["node-1"][0], found["node-2"][0]) == ("r0", "r", "r")
    assert {found["node-1"], found["node-2"]} == {"r1", "r2"}
    (lost,) = [machine for machine in cluster.machines if machine.name == found["node-2"]]
    lost.lose()
    seen = run.round
    run.until(lambda: run.round >= seen + 2, GOES_ON_S, "two rounds after a node was lost")
    run.until(lambda: any("node-2" in fault for fault in run.faults), 60, "word of the lost node")
    cluster.machines[0].call(*MOMA, "stop", run.path)
    run.until(lambda: trained.poll() is not None, START_S, "end of the run")
    said = (tmp_path / "train.out").read_text()
    assert trained.returncode == STOPPED, said
    assert "workers of this machine join" in (run.path / "logs" / "node-1.log").read_text()
    token = (run.path / "keys" / "worker.token").read_text().strip()
    assert token not in said + run.logs() + cluster.log()


def test_workers_come_and_go(cluster, run, train):
    trained = train("--workers", "3")
    run.until(lambda: run.workers == 3 and run.round >= 1, START_S, "round by three workers")
    for count in (1, 4, 2):
        said = cluster.machines[0].call(*MOMA, "scale", run.path, "--workers", count)
        run.until(lambda n=count: run.workers == n, START_S, f"{count} workers after {said}")
        seen = run.round
        run.until(lambda n=seen: run.round > n + 1, START_S, f"rounds by {count} workers")
    cluster.machines[0].call(*MOMA, "stop", run.path)
    run.until(lambda: trained.poll() is not None, START_S, "end of the run")
    assert trained.returncode == STOPPED


def test_nodes_that_are_missing_are_named(cluster, run, train, tmp_path):
    words = ("--nodes", "4", "--workers", "4", "--ray.wait-s", "5")
    trained = train(*words)
    run.until(lambda: trained.poll() is not None, START_S, "end of the command")
    said = (tmp_path / "train.out").read_text()
    assert trained.returncode == 2, said
    assert "the cluster at" in said
    assert all(machine.address in said for machine in cluster.machines)
