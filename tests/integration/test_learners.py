"""Several learners, each a process, learn what one learns from the same batch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from learner import build, checkpoint
from learner import clones as cloned
from moma_core.datasets import Dataset, EpisodeWriter
from tests.builders import CHOICES, write_dataset
from tests.integration import take_part
from tests.integration.take_part import CASES, CONFIG, SPOILT

TOLERANCE = 1e-5


def choices(path):
    """A log of choices at random."""
    random = np.random.default_rng(0)
    widths = [len(low) for low in CHOICES.action_low]
    with EpisodeWriter(CHOICES, path, {"maker": "tests"}) as writer:
        for _ in range(16):
            states = random.normal(0, 0.5, (5, 5)).astype(np.float32)
            actions = np.zeros((4, 2, CHOICES.action_width), np.float32)
            for step in range(4):
                for agent, width in enumerate(widths):
                    actions[step, agent, random.integers(width)] = 1
            rewards = random.normal(0, 1, 4).astype(np.float32)
            writer.add(states, actions, rewards, terminated=False)
    return Dataset.load(path)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Two logs, and clones of one."""
    path = tmp_path_factory.mktemp("learners")
    dataset = write_dataset(path / "log", terminals=True)
    choices(path / "choices")
    cloning = build.algorithm(replace(CONFIG, algorithm="bc"), dataset, path)
    cloning.update(())
    checkpoint.keep_policy(path / "clones" / cloned.LOG, cloning.snapshot(), 0, None)
    return path


@pytest.fixture(scope="module", params=[2, 3])
def together(request, directory):
    """By case, what every learner of two or three has come to."""
    learners = request.param
    words = [sys.executable, "-m", "tests.integration.take_part"]
    running = [
        subprocess.Popen([*words, str(rank), str(learners), str(directory)])
        for rank in range(learners)
    ]
    try:
        assert [one.wait(120) for one in running] == [0] * learners
    finally:
        for one in running:
            one.kill()
    return {
        name: [load_file(directory / f"{learners} {rank} {name}") for rank in range(learners)]
        for name in CASES | SPOILT
    }


@pytest.fixture(scope="module")
def alone(directory):
    """By case, what one learner has come to."""
    torch.set_num_threads(1)
    return {name: take_part.alone(case, directory) for name, case in CASES.items()}


def apart(one, other):
    """The largest difference of two states, in parts of 1 or of the value itself, and where."""
    assert one.keys() == other.keys()
    found = {name: distance(one[name].double(), other[name].double()) for name in one}
    worst = max(found, key=found.get)
    return found[worst], worst


def distance(one, other):
    """The largest difference; what is no number is equal to what is none."""
    close = (one - other).abs() / one.abs().clamp_min(1)
    return float(torch.where(one.isnan() & other.isnan(), 0.0, close).nan_to_num(1.0).max())


def test_several_learners_come_to_what_one_comes_to(alone, together):
    far = {name: apart(alone[name], together[name][0]) for name in CASES}
    assert {n: found for n, found in far.items() if found[0] > TOLERANCE} == {}


def test_all_learners_of_a_group_are_alike(together):
    for name in CASES:
        first, *others = together[name]
        for other in others:
            assert apart(first, other)[0] == 0, name


def test_they_can_be_called_on_loopback_alone(together, directory):
    assert together
    said = [path.read_text() for path in directory.glob("* listens")]
    assert len(said) >= 2
    assert set(said) == {"127.0.0.1"}


def test_the_cases_are_what_they_are_named_after(alone):
    assert float(alone["ppo stops"]["measured.losses/epochs"]) == 1
    assert float(alone["ppo"]["measured.losses/epochs"]) == 3
    assert float(alone["ppo poisoned"]["measured.losses/skipped_steps"]) > 0
    assert float(alone["ppo"]["measured.losses/skipped_steps"]) == 0


def test_without_what_makes_them_one_they_differ(alone, together):
    for name in SPOILT:
        whole = alone[name.partition(",")[0]]
        assert apart(whole, together[name][0])[0] > 10 * TOLERANCE, name
