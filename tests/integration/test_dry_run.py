"""`moma train --dry-run` writes what would run, by flags or by a file, and starts nothing."""

from __future__ import annotations

import json
import stat
import subprocess
from dataclasses import replace

import pytest

from moma.cli.main import main
from moma.engines import training
from moma.engines.deployment import Deployment
from moma_core import documents, recipes
from moma_core.config import Config
from moma_core.recipes import NAMES

SLURM = ("--engine", "slurm", "--nodes", "3", "--node-cores", "2")


@pytest.fixture
def dry(tmp_path, monkeypatch, capsys):
    """Runs the command in an empty directory; returns the run's directory and what was said."""
    monkeypatch.chdir(tmp_path)

    def run(*words, status=0):
        assert main(["train", *words, "--dry-run", "--run-dir", "run"]) == status
        return tmp_path / "run", capsys.readouterr()

    return run


def test_slurms_script_config_and_plan_are_written_and_nothing_is_started(dry):
    run, said = dry("reacher-tiny", *SLURM, "--workers", "7", "--slurm.partition", "cpu")
    assert said.out.splitlines() == [
        "wrote run/config.json",
        "wrote run/plan.json",
        "wrote run/job.sbatch",
    ]
    script = (run / "job.sbatch").read_text()
    assert subprocess.run(["bash", "-n", run / "job.sbatch"], check=False).returncode == 0
    assert "#SBATCH --partition=cpu" in script
    assert f"train --resume {run} --engine slurm --nodes 3 --placement near" in script
    config = documents.parse(Config, (run / "config.json").read_text(), "config.json")
    assert config == replace(recipes.get("reacher-tiny"), workers=7)
    assert not (run / "data").exists()
    assert list((run / "logs").iterdir()) == []
    plan = json.loads((run / "plan.json").read_text())
    deployment = Deployment(engine="slurm", nodes=3, node_cores=2)
    planned = training.plan(config, deployment)
    assert [w["node"] for w in plan["workers"]] == [w.node for w in planned.workers]
    assert [w["node"] for w in plan["workers"]] == [0, 0, 0, 1, 1, 2, 2]
    assert [s["node"] for s in plan["servers"]] == [0, 0, 1, 1, 2, 2]


def test_the_runs_keys_are_files_that_the_script_names_and_does_not_hold(dry):
    run, said = dry("reacher-tiny", *SLURM, "--workers", "3")
    token = (run / "keys" / "worker.token").read_text().strip()
    assert stat.S_IMODE((run / "keys" / "worker.token").stat().st_mode) == 0o600
    assert f"--keys {run}/keys" in (run / "job.sbatch").read_text()
    for file in ("job.sbatch", "plan.json", "config.json"):
        assert token not in (run / file).read_text()
    assert token not in said.out + said.err


def test_a_file_with_a_table_is_the_same_as_the_flags(dry, tmp_path):
    run, _ = dry("reacher-tiny", *SLURM, "--workers", "3", "--slurm.time", "1:00:00")
    by_flags = (run / "job.sbatch").read_text()
    (tmp_path / "run.toml").write_text(
        'recipe = "reacher-tiny"\nnodes = 3\nnode_cores = 2\nworkers = 3\n'
        '[slurm]\ntime = "1:00:00"\n'
    )
    assert main(["train", "--config", "run.toml", "--dry-run", "--run-dir", "two/run"]) == 0
    by_file = (tmp_path / "two" / "run" / "job.sbatch").read_text()
    assert by_file.replace(f"{tmp_path}/two/run", f"{tmp_path}/run") == by_flags


def test_one_machine_writes_its_plan(dry):
    run, said = dry("reacher-tiny", "--workers", "2")
    assert said.out == "wrote run/config.json\nwrote run/plan.json\n"
    assert {w["node"] for w in json.loads((run / "plan.json").read_text())["workers"]} == {0}


def test_without_slurm_a_run_is_refused_with_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["train", "reacher-tiny", *SLURM, "--workers", "3", "--run-dir", "run"]) == 2
    assert "--engine slurm needs Slurm's commands" in capsys.readouterr().err


def test_a_refused_run_makes_no_directory(dry):
    run, said = dry("reacher-tiny", *SLURM, "--workers", "2", status=2)
    assert "--workers 2 is less than one for each of --nodes 3" in said.err
    assert not run.exists()
    assert "reacher-tiny" in NAMES
