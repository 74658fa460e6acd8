"""`moma export`: what a file computes is what torch does; nothing looks better than it is."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from moma.export import folder, parity
from moma.export.agent import AgentPolicy, save
from moma.export.run_policy import Policy
from moma_core.config import ActorConfig
from moma_core.nets.policy import Actors
from moma_core.runtime.run import RunDirectory
from tests.builders import CHOICES, MIXED, SPEC

SMALL = {"width": 16, "depth": 2, "frames": 3, "memory_width": 8}
KINDS = [
    (MIXED, {"memory": "none"}),
    (MIXED, {"memory": "gru"}),
    (MIXED, {"memory": "attention"}),
    (SPEC, {"memory": "frames", "state_dependent_std": True}),
    (replace(CHOICES, state_offset=(0.0, 1e9, 0.0, 0.0, -4.5e6)), {"memory": "frames"}),
]
"""Every memory, and agents that choose, act continuously, or both in one team."""


def trained(spec, **settings):
    """A team whose weights and normaliser are nobody's first ones."""
    actors = Actors(spec, ActorConfig(**SMALL, **settings))
    draw = torch.Generator().manual_seed(5)
    for part in actors.parameters():
        part.data = torch.randn(part.shape, generator=draw) * 0.2
    shape = actors.observation_mean.shape
    own = spec.observation_mask
    mean, std = torch.randn(shape, generator=draw), torch.rand(shape, generator=draw) + 0.5
    actors.standardise(mean * own, torch.where(own, std, 1.0))
    return actors


def files_of(actors, path):
    """Every agent's policy and its ONNX file."""
    alone = [AgentPolicy(actors, agent) for agent in range(len(actors.spec.agents))]
    files = [path / f"{agent}.onnx" for agent in actors.spec.agents]
    for policy, file in zip(alone, files, strict=True):
        save(policy, file)
    return alone, files


@pytest.mark.parametrize(("spec", "settings"), KINDS)
def test_an_export_plays_a_hundred_episodes_as_torch_does(spec, settings, tmp_path):
    actors = trained(spec, **settings)
    alone, files = files_of(actors, tmp_path)
    found = parity.compare(actors, alone, files, parity.drawn(actors, 0))
    assert [one.steps for one in found] == [100 * spec.episode_limit] * 2
    assert max(one.difference for one in found) <= 1e-5


def test_a_normaliser_or_a_memory_that_is_not_the_policys_is_seen(tmp_path):
    actors = trained(SPEC, memory="frames")
    alone, files = files_of(actors, tmp_path)
    episodes = parity.drawn(actors, 0)
    actors.observation_mean[0, 0] += 0.01
    first, second = parity.compare(actors, alone, files, episodes)
    assert first.difference > parity.LIMIT >= second.difference
    actors.observation_mean[0, 0] -= 0.01
    actors.layers[0].weight.data[1, -2] += 0.01  # of the newest frame's action, before its padding
    first, second = parity.compare(actors, alone, files, episodes)
    assert second.difference > parity.LIMIT >= first.difference


@pytest.fixture
def own(run, tmp_path):
    """A run with clones, which nobody has judged yet."""
    shutil.copytree(run.path, tmp_path / "run")
    return RunDirectory.open(tmp_path / "run")


def test_a_folder_per_agent_that_acts_and_says_what_it_is(own, tmp_path, cli, capsys):
    out = tmp_path / "out"
    words = ("export", own.path, "--policy", "bc", "--out", out)
    assert cli(*words) == 2
    assert "is not judged" in capsys.readouterr().err
    assert not out.exists()
    assert cli(*words, "--unsupported") == 0
    said = capsys.readouterr().out
    assert "over 100 episodes of the log; NOT JUDGED, marked as such" in said
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "joint_0", "joint_1", "run_policy.py", "train_config.json",
    ]  # fmt: skip
    for agent in ("joint_0", "joint_1"):
        assert sorted(path.name for path in (out / agent).iterdir()) == [
            "README.md", "config.json", "model.safetensors", "policy.onnx", "policy_contract.json",
        ]  # fmt: skip
        contract = json.loads((out / agent / "policy_contract.json").read_text())
        assert (contract["agent"], contract["trusted"]) == (agent, False)
        assert contract["parity"]["largest_difference"] <= 1e-5
        assert "NOT TRUSTED: not judged" in (out / agent / "README.md").read_text()
    names = json.loads((out / "joint_0" / "policy_contract.json").read_text())["inputs"]
    assert len(names["observation"]["names"]) == 8
    assert cli(*words, "--unsupported") == 2
    assert f"{out} exists" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "said"), [(0.05, "one took 0.05 s"), (None, "does not say")])
def test_the_contract_says_how_often_the_policy_is_to_be_called(own, tmp_path, cli, seconds, said):
    told = json.loads(own.subject.read_text())
    own.subject.write_text(json.dumps(told | {"seconds_per_step": seconds}))
    assert (
        cli("export", own.path, "--policy", "bc", "--out", tmp_path / "out", "--unsupported") == 0
    )
    rate = json.loads((tmp_path / "out" / "joint_0" / "policy_contract.json").read_text())["rate"]
    assert (rate["steps_per_call"], rate["seconds_per_step"]) == (1, seconds)
    assert said in rate["note"]


def test_the_shipped_runner_repeats_its_example_and_forgets_on_reset(own, tmp_path, cli):
    words = ("export", own.path, "--policy", "bc", "--out", tmp_path / "out", "--unsupported")
    assert cli(*words, "--data", tmp_path / "nowhere") == 0  # the log has gone: drawn instead
    assert "drawn from the normaliser" in (tmp_path / "out" / "README.md").read_text()
    policy = Policy(tmp_path / "out" / "joint_1")
    example = policy.contract["example"]
    once = np.array([policy.act(row) for row in example["observations"]])
    assert np.abs(once - example["actions"]).max() <= 1e-5
    without_reset = np.array([policy.act(row) for row in example["observations"]])
    assert np.abs(without_reset - once).max() > 1e-5
    policy.reset()
    again = np.array([policy.act(row) for row in example["observations"]])
    assert (again == once).all()


def test_an_export_that_differs_leaves_nothing(own, tmp_path, cli, capsys, monkeypatch):
    apart = parity.Parity(difference=2e-5, steps=1, example={})
    monkeypatch.setattr(folder, "save", lambda _, path: path.touch())
    monkeypatch.setattr(folder.parity, "compare", lambda *_: [apart, apart])
    words = ("export", own.path, "--policy", "bc", "--out", tmp_path / "out", "--unsupported")
    assert cli(*words) == 2
    assert (
        "the export differs from torch by 2.0e-05 over 100 episodes of the log; 1e-05 is"
        in capsys.readouterr().err
    )
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_runner_is_short():
    lines = folder._RUNNER.read_text().splitlines()
    assert len(lines) <= 50
    imports = {line.split()[1] for line in lines if line.startswith(("import", "from"))}
    assert imports == {"json", "sys", "pathlib", "numpy", "onnxruntime"}
