"""Data of kept policies: whose actions they are, resumable piece by piece, by its seed alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model_server.simulator import Simulator
from moma.log_tools import collect
from moma.log_tools.collect import Cast, Source
from moma_core import recipes, tasks
from moma_core.datasets import Dataset
from moma_core.nets.policy import Actors
from moma_core.tasks import reacher
from moma_core.tasks.system import control
from tests.builders import make_query

LIMIT, PIECE = 10, 25


def short(name):
    """A task whose episodes end soon."""
    task = tasks.get(name)
    return replace(task, spec=replace(task.spec, episode_limit=LIMIT))


def cast(expert="halfcheetah-2x3-full", task="halfcheetah-6x1", recipe="halfcheetah-expert"):
    config = recipes.get(recipe)
    return Cast(expert=short(expert), actor=replace(config.actor, width=8), task=short(task))


def sources(who, *amounts):
    """The untrained policy, then others."""
    made = []
    for version, amount in enumerate(amounts):
        actors = Actors(who.expert.spec, who.actor, seed=version)
        parameters = actors.state_dict() if version else {}
        made.append(
            Source(run="run", version=30 * version, transitions=amount, parameters=parameters)
        )
    return made


def silent(*_): ...


def make(path, *, seed=0, amounts=(60, 35), who=None, progress=silent, threads=1):
    who = who or cast()
    return collect.collect(who, sources(who, *amounts), path, seed, {"note": 1}, progress, threads)


def content(path):
    """Every file's bytes."""
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(collect, "PIECE", PIECE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Made without an interruption, with its progress."""
    told, path = [], tmp_path_factory.mktemp("collect") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "PIECE", PIECE)
        made = make(path, progress=lambda *step: told.append(step))
    return made, told


def test_it_holds_as_many_transitions_as_asked_and_leaves_no_pieces(whole):
    made, told = whole
    assert made.transitions == 95
    assert told == [(25, 95), (50, 95), (60, 95), (85, 95), (95, 95)]
    assert [path.name for path in made.path.parent.iterdir()] == ["data"]
    lengths = np.diff(made.episode_start, append=95)
    assert lengths.tolist() == [10, 10, 5, 10, 10, 5, 10, 10, 10, 5, 10]
    assert made.truncated.sum() == made.episodes == 11


def test_it_notes_which_policy_made_which_episodes(whole):
    made, _ = whole
    assert made.origin["note"] == 1
    assert made.origin["mujoco"]
    assert [tuple(part.values()) for part in made.origin["policies"]] == [
        ("run", 0, 0, 3), ("run", 0, 3, 3), ("run", 0, 6, 1), ("run", 30, 7, 3), ("run", 30, 10, 1),
    ]  # fmt: skip
    assert list(made.origin["policies"][0]) == ["run", "version", "first_episode", "episodes"]


def test_its_steps_are_the_simulators_under_the_datas_own_split(whole):
    made, _ = whole
    simulator = Simulator(tasks.get("halfcheetah-6x1"), 1)
    rows = made.rows(np.arange(made.transitions))
    query = make_query(state=rows.state, action=rows.action, seed=torch.arange(len(rows.state)))
    said = simulator.predict(query)
    assert torch.equal(said.next_state, rows.next_state)
    assert torch.equal(said.reward, rows.reward)
    assert rows.action.abs().max() <= 1
    assert (rows.action != 0).any(0).all()
    # Negative control: other agents' actions lead elsewhere.
    said = simulator.predict(replace(query, action=rows.action.flip(1)))
    assert not torch.allclose(said.next_state, rows.next_state, atol=1e-2)


SPLITS = [
    ("halfcheetah-2x3-full", "halfcheetah-6x1"),
    ("ant-full", "ant-corrected"),
    ("halfcheetah-6x1", "halfcheetah-2x3"),
]


@pytest.mark.parametrize(("expert", "task"), SPLITS)
def test_regrouped_actions_drive_the_same_actuators_exactly(expert, task):
    one, other = tasks.get(expert), tasks.get(task)
    action = torch.rand(6, len(one.split), one.spec.action_width) * 2 - 1
    regrouped = collect.regroup(action, one.split, other)
    assert regrouped.shape == (6, len(other.split), other.spec.action_width)
    np.testing.assert_array_equal(control(regrouped, other.split), control(action, one.split))


def test_regrouping_follows_the_splits_not_the_order():
    task = replace(tasks.get("halfcheetah-2x3"), split=((5, 0, 2), (1, 3, 4)))
    action = torch.arange(6.0).reshape(1, 6, 1)
    regrouped = collect.regroup(action, tuple((i,) for i in range(6)), task)
    assert regrouped.tolist() == [[[5, 0, 2], [1, 3, 4]]]


class Interruption(Exception):  # noqa: N818 - it is no error of ours
    """Somebody pulled the plug."""


def interrupted(path, monkeypatch, after, **settings):
    """Makes data until the plug is pulled in the middle of piece number `after`."""
    played, real = [], collect.play

    def pulled(*args):
        if len(played) == after:
            raise Interruption
        played.append(args)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(collect, "play", pulled)
        with pytest.raises(Interruption):
            make(path, **settings)
    assert not path.exists()
    return len(list(path.with_name(f"{path.name}.pieces").glob("[0-9]*")))


def count_of_plays(monkeypatch):
    """Lists every call to `play` from now on."""
    played, real = [], collect.play

    def counted(*args):
        played.append(args)
        return real(*args)

    monkeypatch.setattr(collect, "play", counted)
    return played


@pytest.mark.parametrize("after", [0, 1, 4])
def test_interrupted_and_gone_on_with_gives_the_same_bytes(tmp_path, monkeypatch, whole, after):
    kept = interrupted(tmp_path / "data", monkeypatch, after)
    assert kept == after
    played = count_of_plays(monkeypatch)
    made = make(tmp_path / "data")
    assert len(played) == 5 - after
    assert content(made.path) == content(whole[0].path)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_stop_between_pieces_keeps_them_all(tmp_path, monkeypatch, whole):
    def stop(done, _):
        if done == 50:
            raise Interruption

    with pytest.raises(Interruption):
        make(tmp_path / "data", progress=stop)
    played = count_of_plays(monkeypatch)
    assert content(make(tmp_path / "data").path) == content(whole[0].path)
    assert len(played) == 3


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"amounts": (50, 35)}, {"who": cast(task="halfcheetah-2x3")}],
    ids=lambda other: next(iter(other)),
)
def test_pieces_of_another_command_are_not_taken(tmp_path, monkeypatch, whole, other):
    assert interrupted(tmp_path / "data", monkeypatch, 3, **other) == 3
    assert content(make(tmp_path / "data").path) == content(whole[0].path)
    # Negative control: such data differs.
    assert content(make(tmp_path / "other", **other).path) != content(whole[0].path)


def test_the_number_of_threads_does_not_matter(tmp_path, whole):
    made = make(tmp_path / "data", threads=3)
    assert content(made.path) == content(whole[0].path)


def test_episodes_that_end_early_are_whole_and_terminal(tmp_path):
    who = cast("hopper-3x1-full", "hopper-3x1", "hopper-expert")
    long = replace(who.expert, spec=replace(who.expert.spec, episode_limit=1000))
    made = make(tmp_path / "data", who=replace(who, expert=long), amounts=(100,))
    assert made.transitions == 100
    fallen = made.terminated.sum()
    assert fallen >= 1
    # What is not terminal was cut at the end of its piece.
    assert made.truncated.sum() == made.episodes - fallen <= 4
    simulator = Simulator(tasks.get("hopper-3x1"), 1)
    rows = made.rows(np.arange(100))
    said = simulator.predict(
        make_query(state=rows.state, action=rows.action, seed=torch.arange(100))
    )
    assert torch.equal(said.terminated, rows.terminated)


def test_a_convention_is_asked_for_in_training_and_not_paid_for_in_data(tmp_path):
    plain, asked = tasks.get("reacher-full"), tasks.get("reacher-c")
    who = Cast(
        expert=asked, actor=replace(recipes.get("reacher-expert-c").actor, width=8), task=plain
    )
    made = make(tmp_path / "data", who=who, amounts=(100,))
    rows = made.rows(np.arange(100))
    query = make_query(state=rows.state, action=rows.action, seed=torch.arange(100))
    truth, shaped = (Simulator(task, 1).predict(query).reward for task in (plain, asked))
    assert torch.equal(rows.reward, truth)
    assert (shaped < truth - 1e-3).any()


@pytest.mark.parametrize(("elbow", "convention"), [(1, "c"), (-1, "d")])
def test_a_convention_costs_a_unit_per_radian_on_the_other_side(elbow, convention):
    system = tasks.get(f"reacher-{convention}").system
    angles = np.array([-2.0, -0.5, 0.0, 0.5, 2.0])
    after = np.stack([np.zeros(5), angles, np.full(5, 0.1), np.zeros(5)], axis=1)
    torque, never = np.full((5, 2), 0.3), np.zeros(5, dtype=np.bool_)
    plain = reacher.reward(after, torque, after, never)
    lost = plain - system.reward(after, torque, after, never)
    np.testing.assert_allclose(lost, np.maximum(0, -elbow * angles))


def test_the_elbows_share_is_that_of_the_episodes_ends(tmp_path):
    task = tasks.get("reacher-full")
    log = task.make_data(tmp_path / "log", recipes.get("reacher-tiny").data, 0)
    assert task.facts(log) == {"elbow_positive": 0.5}
    half, end = log.episodes // 2, log.transitions // 2
    first = replace(
        log, reward=log.reward[:end], episode_start=log.episode_start[:half], path=log.path
    )
    assert isinstance(first, Dataset)
    assert task.facts(first) == {"elbow_positive": 1.0}
