"""Flags that say where a run is to run, and what does not fit together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from moma.cli.train import Train
from moma.engines import slurm
from moma.engines.deployment import Deployment, KubernetesConfig, RayConfig, SlurmConfig
from moma_core import recipes

CONFIG = replace(recipes.get("reacher-tiny"), workers=6)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"nodes": 0}, "--nodes 0: need 1"),
        ({"node_cores": -1, "engine": "slurm"}, "--node-cores -1"),
        ({"nodes": 2}, "--nodes 2 needs --engine"),
        ({"node_cores": 2}, "--node-cores means nothing to --engine local"),
        ({"engine": "kubernetes"}, "--engine kubernetes writes a manifest"),
        (
            {"engine": "kubernetes", "dry_run": True},
            "--engine kubernetes needs --kubernetes.image",
        ),
        (
            {"engine": "kubernetes", "dry_run": True, "placement": "central"},
            "--placement central is not for --engine kubernetes",
        ),
        ({"engine": "ray"}, "--engine ray needs --ray.address"),
        ({"slurm": SlurmConfig(account="x")}, "--slurm.account means nothing to --engine local"),
        (
            {"engine": "slurm", "ray": RayConfig(address="auto")},
            "--ray.address means nothing to --engine slurm",
        ),
        (
            {"engine": "slurm", "kubernetes": KubernetesConfig(claim="disk")},
            "--kubernetes.claim means nothing to --engine slurm",
        ),
        ({"engine": "slurm", "slurm": SlurmConfig(options=("--qos=low",))}, "--slurm.options"),
        ({"engine": "slurm", "slurm": SlurmConfig(options=("qos=low\nrm",))}, "--slurm.options"),
    ],
)
def test_flags_that_do_not_fit_together_are_refused_by_name(given, words):
    with pytest.raises(ValueError, match=words):
        Deployment(**given)


@pytest.mark.parametrize(
    ("nodes", "config", "words"),
    [
        (2, replace(CONFIG, algorithm="bc"), "--nodes 2 means nothing to --algorithm bc"),
        (7, CONFIG, "--workers 6 is less than one for each of --nodes 7"),
        (2, replace(CONFIG, dynamics="simulator"), "--model simulator is served by the first node"),
        (3, replace(CONFIG, model_servers=2), "--model-servers 2 is less than one for each"),
    ],
)
def test_what_does_not_fit_the_run_is_refused_by_name(nodes, config, words):
    with pytest.raises(ValueError, match=words):
        Train(config=config, engine="slurm", nodes=nodes).check()


def test_central_servers_need_not_be_on_every_node():
    config = replace(CONFIG, model_servers=2)
    Train(config=config, engine="slurm", nodes=3, placement="central").check()


@pytest.mark.parametrize("given", [{"engine": "slurm"}, {"dry_run": True}])
def test_one_process_has_no_engine(given):
    with pytest.raises(ValueError, match="--in-process is one process; leave out"):
        Train(config=CONFIG, in_process=True, **given).check()


def test_what_inherits_the_flags_gives_them_back_alone():
    @dataclass(frozen=True, kw_only=True)
    class Command(Deployment):
        more: int = 0

    wanted = Deployment(engine="slurm", nodes=3, slurm=SlurmConfig(partition="p"))
    found = Command(engine="slurm", nodes=3, slurm=SlurmConfig(partition="p"), more=7).only()
    assert (type(found), found) == (Deployment, wanted)


def test_the_batch_script_says_what_was_asked_for():
    config = SlurmConfig(partition="cpu", time="1:00:00", setup="module load x", options=("qos=a",))
    words = ["train", "--resume", "/runs/a b"]
    text = slurm.script("a", "/runs/a b/logs", 3, 8, True, config, words)
    options = {line.removeprefix("#SBATCH --") for line in text.splitlines() if "#SBATCH" in line}
    assert options >= {
        "nodes=3", "ntasks-per-node=1", "cpus-per-task=8", "gpus-per-node=1", "no-kill", "requeue",
        "signal=B:TERM@60", "partition=cpu", "time=1:00:00", "qos=a", "job-name=moma-a",
    }  # fmt: skip
    assert not any(option.startswith("account") for option in options)
    assert "-m moma train --resume '/runs/a b' &\n" in text
    assert text.index("module load x") < text.index("srun ")
    without = slurm.script("a", "/runs", 3, 8, False, config, words)
    assert "gpus" not in without
