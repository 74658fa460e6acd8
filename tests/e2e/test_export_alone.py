"""An exported policy acts where nothing but onnxruntime and numpy is installed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

_INSTALL_S, _RUN_S = 240, 60


@pytest.fixture(scope="module")
def bare(tmp_path_factory, request):
    """The python of an environment of its own with these two packages."""
    place = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True, timeout=60)
    python = place / "bin" / "python"
    install = [
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "-c",
        request.config.rootpath / "constraints.txt", "onnxruntime", "numpy",
    ]  # fmt: skip
    done = subprocess.run(install, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    if done.returncode:
        pytest.skip(f"no package index can be reached: {done.stderr.splitlines()[-1]}")
    return python


def test_a_team_is_exported_and_acts_without_torch(moma, bare, tmp_path):
    quick = ("--algorithm", "bc", "--bc.rounds", "1", "--bc.updates", "5", "--in-process")
    trained = moma("train", "reacher-tiny", *quick, "--run-dir", "run")
    assert trained.wait(240) == 0, trained.err
    exported = moma("export", "run", "--out", "out")
    assert exported.wait(240) == 0, exported.err
    assert "over 100 episodes of the log\n" in exported.out
    assert float(re.search(r"difference to torch (\S+)", exported.out)[1]) <= 1e-5
    out = tmp_path / "out"
    listed = subprocess.run(
        [bare, "-I", "-c", "import torch"], capture_output=True, timeout=_RUN_S, check=False
    )
    assert listed.returncode == 1  # there is none
    for agent in ("joint_0", "joint_1"):
        done = subprocess.run(
            [bare, "-I", out / "run_policy.py", out / agent],
            capture_output=True, text=True, timeout=_RUN_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert float(done.stdout.removeprefix("largest difference: ")) <= 1e-5
        contract = (out / agent / "policy_contract.json").read_text()
        assert '"trusted": true' in contract  # it was measured
