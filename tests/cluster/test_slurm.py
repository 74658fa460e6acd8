"""Slurm on three machines: one run over TLS, on with a node less, resumed when queued again."""

from __future__ import annotations

import shutil

import pytest

from tests.cluster.conftest import MOMA, START_S
from tests.cluster.slurm_cluster import Slurm

pytestmark = pytest.mark.timeout(1800)
ROUNDS = 60
START = "StartTime=now+20"
"""Instead of two minutes after a requeue; sooner its nodes refuse the job's credential."""
WORDS = (
    "reacher-tiny", "--engine", "slurm", "--nodes", "3", "--workers", "3", "--node-cores", "1",
    "--ppo.rounds", ROUNDS, "--eval.every", "0",
)  # fmt: skip


@pytest.fixture
def slurm(made, tmp_path):
    """`slurm(nodes)` starts so many nodes and a controller."""
    for program in ("slurmctld", "slurmd", "munged"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: scripts/test --cluster installs it")
    started = []

    def start(count):
        names = [f"n{i}" for i in range(count)]
        machines = made(*names, "control")
        nodes = [machines[name] for name in names]
        started.append(Slurm(nodes, machines["control"], tmp_path / "slurm"))
        return started[-1].__enter__()

    yield start
    for one in started:
        one.__exit__()


def submit(slurm, run, *words):
    """Submits a run and waits until all its workers work."""
    said = slurm.client(*MOMA, "train", *WORDS, "--run-dir", run.path, *words)
    assert "Submitted batch job" in said
    run.until(lambda: run.workers == 3 and run.round >= 3, START_S, "third round by three workers")


def until_done(slurm, run):
    run.until(lambda: slurm.job("JobState") == "COMPLETED", START_S, "end of the job")
    assert run.read("result.json")["updates"] == ROUNDS
    assert run.round == ROUNDS


def test_a_run_is_trained_on_three_nodes_over_tls(slurm, run):
    cluster = slurm(3)
    submit(cluster, run)
    roles = {one["role"]: one["address"] for one in run.read("status.json")["processes"]}
    assert roles["learner"].startswith(f"{cluster.machines[0].address}:")
    assert {"node-1", "node-2"} <= roles.keys()
    names = [role["name"] for role in run.read("learner.json")["roles"]]
    for host in ("worker-", "-n1-", "-n2-"):
        assert any(host in f"-{name}" for name in names), names
    until_done(cluster, run)
    for node in (1, 2):
        log = (run.path / "logs" / f"node-{node}.log").read_text()
        assert f"1 workers of this machine join run run at {roles['learner']}" in log
        assert "fetched the model" in log
    token = (run.path / "keys" / "worker.token").read_text().strip()
    assert token not in run.logs() + (run.path / "job.sbatch").read_text()
    assert run.faults == []


def test_a_node_that_is_lost_is_done_without(slurm, run):
    cluster = slurm(3)
    submit(cluster, run)
    cluster.machines[2].lose()
    seen = run.round
    run.until(lambda: run.round >= seen + 2, 30, "two rounds after a node was lost")
    run.until(lambda: any("node-2" in fault for fault in run.faults), 60, "word of the lost node")
    assert cluster.job("JobState") == "RUNNING"


def test_a_run_that_is_queued_again_is_resumed(slurm, run):
    cluster = slurm(3)
    submit(cluster, run)
    seen = run.round
    number = cluster.job("JobId")
    cluster.client("scontrol", "requeue", number)
    run.until(lambda: cluster.job("JobState") == "PENDING", 60, "place in the queue")
    cluster.client("scontrol", "update", f"JobId={number}", START)
    run.until(lambda: cluster.job("JobState") == "RUNNING", 60, "second start")
    run.until(lambda: run.round > seen, START_S, "round after the first start's last one")
    until_done(cluster, run)
    assert cluster.job("Restarts") == "1"
    assert run.read("result.json")["resumes"] == 1


def test_before_its_time_is_over_a_run_is_saved_and_queued_again(slurm, run):
    cluster = slurm(3)
    submit(cluster, run)
    number = cluster.job("JobId")
    # What Slurm does 60 s before the limit (`--signal=B:TERM@60`).
    cluster.client("scancel", "--batch", "--signal=TERM", number)
    run.until(lambda: cluster.job("JobState") == "PENDING", 90, "place in the queue")
    names = [path.name for path in (run.path / "checkpoints").iterdir()]
    assert max(int(name) for name in names if name.isdigit()) == run.round
    assert "go on with: moma train --resume" in (run.path / "logs" / "slurm.log").read_text()
    cluster.client("scontrol", "update", f"JobId={number}", START)
    until_done(cluster, run)
    assert run.read("result.json")["resumes"] == 1


def test_the_learners_node_may_be_lost(slurm, run):
    cluster = slurm(4)
    submit(cluster, run)
    first = run.read("status.json")["processes"]
    (before,) = [one["address"] for one in first if one["role"] == "learner"]
    by_address = {machine.address: machine for machine in cluster.machines}
    by_address[before.partition(":")[0]].lose()
    number = cluster.job("JobId")
    run.until(lambda: cluster.job("JobState") == "PENDING", 240, "place in the queue")
    cluster.client("scontrol", "update", f"JobId={number}", START)
    until_done(cluster, run)
    after = run.read("status.json")["processes"]
    (now,) = [one["address"] for one in after if one["role"] == "learner"]
    assert now.partition(":")[0] != before.partition(":")[0]
    assert run.read("result.json")["resumes"] == 1
