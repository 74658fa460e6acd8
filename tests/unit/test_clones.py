"""The team begins as clones of the log's agents, and stays as near them as it is told to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from learner import build, checkpoint, clones
from learner.algorithms.moma_ppo.ppo import Support
from moma_core.config import ActorConfig, BCConfig, PPOConfig, RolloutConfig
from moma_core.nets.policy import Actors
from moma_core.stopping import StoppedError
from moma_core.types import History
from tests.builders import SPEC, imagine, make_config, make_ppo, write_dataset

CONFIG = make_config(bc=BCConfig(rounds=3, updates=10, minibatch=32, learning_rate=1e-2))


def with_ppo(**fields):
    return replace(CONFIG, ppo=replace(CONFIG.ppo, **fields))


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("log") / "log")


@pytest.fixture(scope="module")
def made(tmp_path_factory, dataset):
    """Where the clones of the log are, and what was told meanwhile."""
    path, told = tmp_path_factory.mktemp("run") / "clones", []
    wanted = clones.missing(CONFIG, dataset, path)
    clones.make(CONFIG, dataset, path, wanted, told.append, lambda: False)
    return path, told


def test_clones_are_made_once_and_only_where_a_team_is_imagined_from_a_log(made, dataset, tmp_path):
    path, told = made
    assert told == [f"bc: round {k}/3" for k in (1, 2, 3)]
    assert not clones.missing(CONFIG, dataset, path)
    assert not clones.missing(replace(CONFIG, algorithm="bc"), dataset, tmp_path)
    assert not clones.missing(CONFIG, None, tmp_path)
    assert clones.missing(CONFIG, dataset, tmp_path) == {"bc": None}
    fresh = Actors(SPEC, CONFIG.actor, CONFIG.seed).state_dict()
    kept = clones.parameters(path)
    assert kept.keys() == fresh.keys()
    assert not torch.equal(kept["head.weight"], fresh["head.weight"])


def test_the_best_quarter_of_a_log_has_a_clone_of_its_own(tmp_path):
    data = write_dataset(tmp_path / "log", episodes=41)
    wanted = clones.missing(CONFIG, data, tmp_path)
    assert list(wanted) == ["bc", "bc-best"]
    assert wanted["bc"] is None
    earned, best = data.returns(), wanted["bc-best"]
    assert len(best) == 10
    assert earned[best].min() >= np.delete(earned, best).max()
    short = replace(CONFIG, bc=replace(CONFIG.bc, rounds=1))
    clones.make(short, data, tmp_path, wanted, lambda _: None, lambda: False)
    assert not clones.missing(CONFIG, data, tmp_path)
    two = [checkpoint.actors(tmp_path / name) for name in wanted]
    assert not same(*two)
    assert same(clones.parameters(tmp_path), two[0])
    # A quarter of too few episodes has none.
    few = write_dataset(tmp_path / "few", episodes=39)
    assert list(clones.missing(CONFIG, few, tmp_path / "others")) == ["bc"]


def test_a_stop_while_cloning_leaves_nothing_behind(dataset, tmp_path):
    with pytest.raises(StoppedError, match="while cloning"):
        clones.make(
            CONFIG, dataset, tmp_path / "clones", {"bc": None}, lambda _: None, lambda: True
        )
    assert clones.missing(CONFIG, dataset, tmp_path / "clones")


def test_policies_begin_with_the_clones_parameters_and_units(dataset, made):
    kept = clones.parameters(made[0])
    begun = build.algorithm(with_ppo(begin="clone"), dataset, made[0]).snapshot()
    assert same(begun.parameters, kept)
    # Negative control.
    scratch = build.algorithm(with_ppo(begin="scratch"), dataset, made[0]).snapshot()
    assert not same(scratch.parameters, kept)
    assert same({"std": scratch.parameters["observation_std"]}, {"std": kept["observation_std"]})


def test_a_run_from_scratch_that_stays_near_nothing_needs_no_clones(dataset, tmp_path):
    build.algorithm(with_ppo(begin="scratch", near=0.0), dataset, tmp_path)
    for fields in ({"begin": "clone", "near": 0.0}, {"begin": "scratch", "near": 0.1}):
        with pytest.raises(checkpoint.StorageError, match=r"bc/manifest\.json"):
            build.algorithm(with_ppo(**fields), dataset, tmp_path)


def test_clones_see_the_logs_units_so_that_staying_near_them_refuses_other_ones(dataset, made):
    with pytest.raises(ValueError, match=r"ppo\.near needs ppo\.standardise data"):
        build.algorithm(with_ppo(near=0.1, standardise="running"), dataset, made[0])
    build.algorithm(with_ppo(near=0.0, standardise="running"), dataset, made[0])


TINY = make_config(
    rollout=RolloutConfig(rows=64, horizon=2),
    actor=ActorConfig(width=16, depth=1, memory="none"),
)


def apart(actors, clone):
    """KL from the clone to the policy, mean over some states and summed over agents."""
    state = torch.randn(200, SPEC.state_width, generator=torch.Generator().manual_seed(0))
    none = History.none(200, 2, 0, SPEC.frame_width)
    with torch.no_grad():
        given, logged = (a(a.observed(SPEC.observe(state)), none) for a in (actors, clone))
    return given.kl(logged).sum(1).mean().item()


def trained(near):
    """How far a policy is from its clone after some rounds, and what the last one measured."""
    ppo = PPOConfig(
        epochs=4, minibatch=64, learning_rate=1e-2, value_width=16, value_depth=1, kl_stop=1.0,
        near=near,
    )  # fmt: skip
    config = replace(TINY, ppo=ppo)
    clone = Actors(SPEC, config.actor, seed=config.seed)
    learned = make_ppo(config, support=Support(clone=clone))
    before = {name: value.clone() for name, value in clone.state_dict().items()}
    assert apart(learned.actors, clone) < 1e-6
    for sequence in range(6):
        metrics = learned.update([imagine(learned.snapshot(), config, sequence=sequence)]).metrics
    assert same(before, clone.state_dict())
    return apart(learned.actors, clone), metrics


def test_a_policy_that_pays_for_it_stays_nearer_to_its_clone():
    free, measured = trained(0.0)
    near, told = trained(1.0)
    assert free > 0.05
    assert near < 0.5 * free
    kl = [sum(m[f"losses/clone_kl/{a}"] for a in SPEC.agents) for m in (measured, told)]
    assert kl[0] > 2 * kl[1] > 0
