"""The seam: what every algorithm does, whatever it learns, and what does not fit it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from learner import build, checkpoint
from learner import clones as cloned
from learner.algorithms.base import Algorithm
from moma_core import recipes
from moma_core.config import ALGORITHMS, BCConfig, OfflineConfig, refuse_unused
from moma_core.datasets import Dataset, EpisodeWriter
from tests.builders import CHOICES, MIXED, SPEC, imagine, make_config, write_dataset

CONFIG = make_config(
    bc=BCConfig(rounds=4, updates=3, minibatch=16),
    offline=OfflineConfig(rounds=4, updates=3, minibatch=16, width=8),
)


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "log")


@pytest.fixture
def clones(tmp_path, dataset):
    """The run's clones: of agents that were not fitted for long."""
    cloning = build.algorithm(replace(CONFIG, algorithm="bc"), dataset, tmp_path)
    cloning.update(())
    checkpoint.keep_policy(tmp_path / "clones" / cloned.LOG, cloning.snapshot(), 0, None)
    return tmp_path / "clones"


@pytest.fixture(params=ALGORITHMS)
def make(request, dataset, clones):
    """Makes the algorithm anew."""
    return lambda: build.algorithm(replace(CONFIG, algorithm=request.param), dataset, clones)


def go(algorithm, rounds):
    for _ in range(rounds):
        made = [imagine(algorithm.snapshot(), CONFIG, sequence=k) for k in range(2)]
        algorithm.update(made if algorithm.imagines else ())
    return algorithm


def same(one, other):
    first, second = one.state(), other.state()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_it_is_one(make):
    algorithm = make()
    assert isinstance(algorithm, Algorithm)
    assert not isinstance(object(), Algorithm)
    assert algorithm.actors.spec == SPEC


def test_an_update_counts_and_measures_and_the_last_round_ends_it(make):
    algorithm = make()
    for version in range(4):
        assert (algorithm.version, algorithm.done) == (version, False)
        made = [imagine(algorithm.snapshot(), CONFIG)] if algorithm.imagines else ()
        updated = algorithm.update(made)
        assert updated.transitions > 0
        assert all(isinstance(value, float) for value in updated.metrics.values())
    assert algorithm.done
    assert algorithm.rounds == 4


def test_a_snapshot_is_a_copy_that_actors_load(make):
    algorithm = make()
    snapshot = algorithm.snapshot()
    before = {name: value.clone() for name, value in snapshot.parameters.items()}
    go(algorithm, 1)
    assert all(torch.equal(snapshot.parameters[name], value) for name, value in before.items())
    assert algorithm.snapshot().version == 1
    assert any(not torch.equal(algorithm.snapshot().parameters[n], v) for n, v in before.items())


def test_state_and_load_go_on_bit_for_bit(make):
    straight, stopped, resumed = go(make(), 4), go(make(), 2), make()
    state = {name: value.clone() for name, value in stopped.state().items()}
    assert any(name.startswith("actors.") for name in state)
    resumed.load(state, stopped.version)
    assert same(go(resumed, 2), straight)
    # Negative control: without the optimiser's part it would not.
    forgetful = make()
    forgetful.load({k: v for k, v in state.items() if not k.startswith("optimiser.")}, 2)
    assert not same(go(forgetful, 2), straight)


def test_what_an_algorithm_has_no_use_for_is_refused_by_name():
    base = recipes.get("icg")
    cloning = replace(base, algorithm="bc")
    refuse_unused(cloning, base)
    for wrong, words in (
        (replace(cloning, workers=5), "--workers means nothing to --algorithm bc"),
        (replace(cloning, model=replace(base.model, width=7)), "--model.width means nothing"),
        (replace(base, offline=OfflineConfig(rounds=3)), "--offline.rounds means nothing"),
    ):
        with pytest.raises(ValueError, match=words):
            refuse_unused(wrong, base)


@pytest.mark.parametrize("memory", ["none", "attention", "gru"])
@pytest.mark.parametrize("name", ["ma_iql", "itd3_bc"])
def test_values_remember_as_policies_do(dataset, tmp_path, name, memory):
    actor = replace(CONFIG.actor, memory=memory, memory_width=8)
    algorithm = build.algorithm(replace(CONFIG, algorithm=name, actor=actor), dataset, tmp_path)
    assert algorithm.update(()).transitions > 0
    named = {key.split(".")[1] for key in algorithm.state() if key.startswith("q.")}
    assert ("memory" in named) == (memory != "none")


def write_choices(path, task):
    """A log of random play of agents that choose, in which nothing depends on anything."""
    random, mask = np.random.default_rng(0), task.action_mask.numpy()
    with EpisodeWriter(task, path, {"maker": "tests"}) as writer:
        for _ in range(12):
            choice = random.integers(mask.sum(-1), size=(6, 2))
            action = np.eye(3, dtype=np.float32)[choice]
            for agent, chooses in enumerate(task.discrete):
                if not chooses:
                    action[:, agent] = random.uniform(-0.4, 0.9, (6, 3)) * mask[agent]
            state = random.normal(size=(7, 5)).astype(np.float32)
            reward = random.normal(size=6).astype(np.float32)
            writer.add(state, action, reward, terminated=False)
    return Dataset.load(path)


@pytest.mark.parametrize("name", ["itd3_bc", "matd3_bc", "omar", "cql"])
@pytest.mark.parametrize("task", [CHOICES, MIXED], ids=["choices", "mixed"])
def test_a_method_without_a_form_for_choices_is_refused_by_its_name(tmp_path, name, task):
    dataset = write_choices(tmp_path / "log", task)
    config = replace(CONFIG, algorithm=name)
    if (name, task) == ("cql", CHOICES):
        assert build.algorithm(config, dataset, tmp_path).update(()).transitions > 0
        return
    with pytest.raises(ValueError, match=f"--algorithm {name} learns continuous actions.*wide"):
        build.algorithm(config, dataset, tmp_path)


@pytest.mark.parametrize("name", ["iql", "ma_iql"])
@pytest.mark.parametrize("task", [CHOICES, MIXED], ids=["choices", "mixed"])
def test_implicit_q_learning_takes_any_actions(tmp_path, name, task):
    dataset = write_choices(tmp_path / "log", task)
    config = replace(CONFIG, algorithm=name)
    algorithm = build.algorithm(config, dataset, tmp_path)
    before = algorithm.snapshot().parameters
    algorithm.update(())
    after = algorithm.snapshot().parameters
    assert any(not torch.equal(before[n], after[n]) for n in before)


def test_cloning_needs_a_log():
    with pytest.raises(ValueError, match=r"config\.algorithm must be moma_ppo .* got 'bc'"):
        make_config(algorithm="bc", dynamics="simulator")
    online = recipes.get("reacher-expert")
    with pytest.raises(ValueError, match="learns from a log alone"):
        replace(online, algorithm="bc")
