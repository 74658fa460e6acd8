"""`moma data check` on episodes: copies, ends, padding, agents that are not there, discrete."""

from dataclasses import replace

import numpy as np
import pytest

from moma.log_tools.findings import hashes, repeated
from moma_core.datasets import Dataset, EpisodeWriter
from tests.builders import MIXED, SPEC, random_action, write_dataset
from tests.unit.spoilt import copy_of, none, only, put

TEAM = replace(SPEC, episode_limit=9)
CHOICES = replace(
    TEAM,
    name="choices",
    action_low=((0.0, 0.0), (0.0, 0.0, 0.0)),
    action_high=((1.0, 1.0), (1.0, 1.0, 1.0)),
    discrete=(True, True),
)


@pytest.fixture
def log(dataset, tmp_path):
    return copy_of(dataset, tmp_path / "log")


def play(random, steps, spec=TEAM):
    """One episode of noise."""
    state = random.normal(size=(steps + 1, spec.state_width)).astype(np.float32)
    action = np.stack([random_action(random, spec) for _ in range(steps)])
    return state, action, random.normal(size=steps).astype(np.float32)


def write(path, episodes, spec=TEAM, *, terminated=False):
    """Writes episodes; `terminated` holds for all or is one flag each."""
    flags = np.broadcast_to(terminated, len(episodes))
    with EpisodeWriter(spec, path, {}) as writer:
        for episode, flag in zip(episodes, flags, strict=True):
            writer.add(*episode, terminated=bool(flag))
    return path


@pytest.fixture
def played():
    random = np.random.default_rng(0)
    return [play(random, steps) for steps in (3, 9, 1, 5, 7, 9)]


@pytest.mark.parametrize("size", [1 << 22, 5 * 4 * SPEC.state_width])
def test_copies_of_episodes_and_their_steps_are_found(tmp_path, played, size, monkeypatch):
    monkeypatch.setattr("moma.log_tools.blocks.PIECE", size)
    log = write(tmp_path / "log", [*played, played[1], played[3]])
    episodes, steps = only(log, "episodes that are there again"), only(log, "transitions that are")
    assert (episodes.count, episodes.rows) == (2, (34, 43))
    assert (steps.count, steps.rows) == (14, (34, 35, 36, 37, 38))
    assert "29.2% of all" in steps.what


def test_equal_steps_in_another_order_are_no_copy_of_an_episode(tmp_path):
    state = np.zeros((3, SPEC.state_width), np.float32)
    action = np.zeros((2, *SPEC.action_mask.shape), np.float32)
    action[0, 0, 0] = 1
    reward = np.zeros(2, np.float32)
    log = write(tmp_path / "log", [(state, action, reward), (state, action[::-1], reward)])
    assert none(log, "episodes that are there again")
    assert only(log, "transitions that are there again").count == 2


def test_hashes_tell_rows_apart_by_value_and_place():
    rows = np.array([[0, 1], [1, 0], [0, 1], [-0.0, 1], [0, 0], [1, 1]], np.float32)
    value = hashes(rows)
    assert value[0] == value[2] == value[3]
    assert len(np.unique(value)) == 4
    split = hashes(rows[:, :1], rows[:, 1:])
    assert split[0] == split[2] == split[3]
    assert len(np.unique(split)) == 4
    assert np.array_equal(hashes(rows[:, 1:], onto=hashes(rows[:, :1])), split)
    count, examples = repeated(np.sort(value))
    assert (count, examples.tolist()) == (2, [value[0]])


@pytest.mark.parametrize(("values", "width"), [(20, 4), (50, 3), (2, 16)])
def test_small_integers_do_not_collide(values, width):
    grid = np.stack(np.meshgrid(*[np.arange(values)] * width), -1).reshape(-1, width)
    assert len(np.unique(hashes(grid.astype(np.float32)))) == values**width


def test_time_limits_that_are_marked_as_terminals_are_suspected(tmp_path, played):
    full = [play(np.random.default_rng(k), 9) for k in range(4)]
    log = write(tmp_path / "log", [*played, *full], terminated=[0, 1, 1, 1, 0, 1, 1, 1, 1, 1])
    finding = only(log, "terminated after exactly 9 steps")
    assert (finding.severity, finding.count) == ("warning", 6)
    assert finding.rows[0] == 11


def test_terminals_at_many_lengths_and_truncations_at_one_are_natural(tmp_path, played):
    assert none(write(tmp_path / "a", played, terminated=True), "terminated after")
    full = [play(np.random.default_rng(k), 9) for k in range(9)]
    assert none(write(tmp_path / "b", full), "terminated after")
    once = [play(np.random.default_rng(k), 1) for k in range(9)]
    assert none(write(tmp_path / "c", once, terminated=True), "terminated after")


@pytest.mark.parametrize("size", [1 << 22, 4 * 4 * SPEC.state_width])
def test_zeros_at_the_ends_of_episodes_are_padding(tmp_path, played, size, monkeypatch):
    monkeypatch.setattr("moma.log_tools.blocks.PIECE", size)
    for episode in (played[1], played[4]):
        episode[0][-3:] = 0
        episode[1][-2:] = 0
    played[5][0][:4] = 0  # at the beginning it is a start state
    finding = only(write(tmp_path / "log", played), "end in all-zero")
    assert (finding.count, finding.rows) == (2, (3, 18))


@pytest.mark.parametrize("size", [1 << 22, 4 * 4 * SPEC.state_width])
def test_an_agent_that_does_nothing_or_sees_nothing_move_is_suspected(
    tmp_path, played, size, monkeypatch
):
    monkeypatch.setattr("moma.log_tools.blocks.PIECE", size)
    played[1][1][:, 1] = 0
    played[4][0][:, [1, 4]] = 0.5
    log = write(tmp_path / "log", played)
    idle, blind = only(log, "narrow: its action is always 0"), only(log, "narrow: its observation")
    assert (idle.count, idle.rows) == (1, (3,))
    assert (blind.count, blind.rows) == (1, (18,))
    assert none(log, "wide: its")


def test_a_team_at_rest_is_not_absent(tmp_path, played):
    played[1][0][:] = 0.5
    assert none(write(tmp_path / "log", played), "observation")


def test_present_marks_are_counted_by_agent(log):
    data = Dataset.load(log)
    present = np.ones((data.transitions + data.episodes, 2), np.bool_)
    present[[4, 6], 1] = False
    np.save(log / "present.npy", present)
    finding = only(log, "marked as absent: narrow (")
    assert (finding.severity, finding.count, finding.rows) == ("warning", 2, (4, 6))
    np.save(log / "present.npy", present[1:])
    assert only(log, "present: bool of shape").severity == "error"
    np.save(log / "present.npy", np.ones_like(present))
    assert none(log, "present")


def test_choices_must_be_one_hot(tmp_path):
    random, chosen = np.random.default_rng(0), np.eye(3, dtype=np.float32)
    state, _, reward = play(random, 6)
    action = np.zeros((6, 2, 3), np.float32)
    action[:, 0], action[:, 1] = chosen[random.integers(2, size=6)], chosen[[0, 1, 2, 0, 1, 2]]
    sound = write(tmp_path / "sound", [(state, action, reward)], CHOICES)
    assert none(sound, "one-hot")
    assert none(sound, "at a bound")
    put(sound, "action", (1, 1), [0.5, 0.5, 0])
    put(sound, "action", (4, 1), 0)
    finding = only(sound, "action of narrow: not one-hot")
    assert (finding.severity, finding.count, finding.rows) == ("error", 2, (1, 4))
    assert none(sound, "wide: not one-hot")


def test_of_a_mixed_team_each_agent_is_looked_at_by_its_own_kind(tmp_path):
    random = np.random.default_rng(0)
    state, _, reward = play(random, 6)
    action = np.zeros((6, 2, 3), np.float32)
    action[:, 0], action[:, 1, 0] = np.eye(3)[random.integers(3, size=6)], 0.25
    log = write(tmp_path / "log", [(state, action, reward)], MIXED)
    assert none(log, "one-hot")
    assert none(log, "at a bound")
    put(log, "action", (slice(3), 1, 0), 2.0)
    assert only(log, "action of narrow, dimension 0: at a bound in 50.0%").rows == (0, 1, 2)
    put(log, "action", (slice(None), 1), 0)
    assert only(log, "action is always 0").what.startswith("narrow")
    put(log, "action", (2, 0), [0.5, 0.5, 0])
    assert only(log, "not one-hot").what == "action of wide: not one-hot"
    put(log, "action", (4, 1, 0), 2.5)
    assert only(log, "not in [-0.5, 2]").rows == (4,)


def test_terminals_at_the_limit_of_a_played_log(tmp_path):
    assert none(write_dataset(tmp_path / "log", episodes=40).path, "terminated after")
