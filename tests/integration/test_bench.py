"""`scripts/bench` for real, on a size of its own that takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.speed import command, rollouts
from benchmarks.speed.sizes import Size
from moma_core import recipes
from moma_core.runtime import process

ROOT = Path(__file__).parents[2]
TINY = Size(
    name="tiny",
    model=replace(recipes.get("reacher-tiny").model, network="trunk"),
    terminates=True,
    horizon=3,
    recipe="reacher-tiny",
    whole=True,
)
FIELDS = {"name", "size", "rows_per_s", "flops", "ratio_to_matmul", "spread"}


@pytest.fixture
def measure(tmp_path, capsys, monkeypatch, own_signals):  # noqa: ARG001 - takes back what the command did
    """Runs the command; returns what it wrote as JSON, its output and what it said meanwhile."""
    # Here and in its processes alike, since bits depend on it.
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(*words):
        path = tmp_path / "bench.json"
        status = command.main(["--quick", "--json", str(path), *words], {"tiny": TINY})
        out, err = capsys.readouterr()
        assert status == 0, err
        return json.loads(path.read_text()), out, err

    return run


def rows(result):
    return {row["name"]: row for row in result["rows"]}


def test_every_section_has_its_rows_with_rates_and_ratios(measure):
    sections = ("forward", "rollout", "grpc", "update", "training", "simulator")
    result, out, err = measure("--only", *sections, "--workers", "1", "2")
    found = rows(result)
    names = [name for name in found if not name.startswith("matmul")]
    assert names == [
        "ensemble forward",
        rollouts.ALONE,
        "rollout over gRPC, 1 worker",
        "rollout over gRPC, 2 workers",
        "rollout over gRPC, 2 workers of 500 rows",
        "PPO update",
        "ensemble training",
        "simulator stepping reacher-full",
        "simulator stepping halfcheetah-2x3",
        "simulator stepping hopper-3x1",
        "simulator stepping walker2d-2x3",
        "simulator stepping ant-full",
    ]
    for row in result["rows"]:
        low, high = row["spread"]
        assert row.keys() >= FIELDS
        assert 0 < low <= row["rows_per_s"] <= high
        assert row["repeats"] == 3
    for name in names[:7]:
        row = found[name]
        assert row["flops"] == pytest.approx(row["rows_per_s"] * row["flop_per_row"])
        ideal = sum(part["flop"] / part["rate"] for part in row["parts"])
        assert row["ratio_to_matmul"] == pytest.approx(row["rows_per_s"] * ideal)
        assert 0 < row["ratio_to_matmul"] < 1
    for name in names[7:]:
        assert (found[name]["flops"], found[name]["ratio_to_matmul"]) == (None, None)
        assert found[name]["over_mujoco_rollout"] > 0
    alone = found[rollouts.ALONE]["rows_per_s"]
    for name in (name for name in names if "gRPC" in name):
        compared = found[name]["remote_over_in_process"]
        assert compared == pytest.approx(found[name]["rows_per_s"] / alone)
    assert {"cpu", "cores", "torch", "precision", "busy"} <= result["machine"].keys()
    assert [line.split("  ")[0] for line in out.splitlines() if line.startswith("PPO")]
    assert "rollout over gRPC, 1 worker, tiny" in err


def test_the_whole_system_ends_with_the_same_weights_and_shows_its_profile(measure):
    result, out, _ = measure("--only", "whole", "--profile")
    found = rows(result)
    apart, alone = found["whole system, 2 workers"], found["whole system, in-process"]
    assert apart["same_weights"] is True
    assert apart["over_in_process"] == pytest.approx(apart["rows_per_s"] / alone["rows_per_s"])
    assert min(apart["ratio_to_matmul"], alone["ratio_to_matmul"]) > 0
    assert [profile["name"] for profile in result["profiles"]] == [apart["name"], alone["name"]]
    for profile in result["profiles"]:
        assert profile["round"] == pytest.approx(
            sum(profile["update"].values()) + profile["rollout"]
        )
        assert min(profile["update"].values()) > 0
        assert 0 < profile["rollout_forward"] < profile["rollout_operators"] < profile["rollout"]
        assert 0 < profile["forward_or_backward_share"] < 1
    distributed, local = result["profiles"]
    roles = Counter(busy["role"] for busy in distributed["busy"])
    servers = min(2, process.cores())
    assert roles == {"learner": 1, "model_server": servers, "rollout_workers": 2}
    forward: Counter[str] = Counter()
    for busy in distributed["busy"]:  # of two workers one may have made all the segments
        forward[busy["role"]] += busy["forward"]
    assert forward["learner"] == 0
    assert min(forward["model_server"], forward["rollout_workers"]) > 0
    assert sum(local["rollout_alone"].values()) == pytest.approx(local["rollout"])
    assert "profile of whole system, 2 workers, tiny" in out


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, there is none")
def test_every_section_runs_on_a_gpu(measure):
    sections = ("forward", "rollout", "grpc", "update", "training", "whole")
    result, _, _ = measure("--only", *sections, "--workers", "2", "--device", "cuda")
    assert result["machine"]["device"] == "cuda"
    assert result["machine"]["gpu"]
    assert min(row["ratio_to_matmul"] for row in result["rows"]) > 0


def test_the_script_runs_it_from_a_clone():
    """Where no `moma` is installed: modules are found in the clone alone."""
    words = [sys.executable, "-m", "benchmarks.speed", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("usage: scripts/bench ")
    assert '-m benchmarks.speed "$@"' in (ROOT / "scripts/bench").read_text()
