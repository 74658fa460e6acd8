"""How a log becomes a team: columns, bounds, rewards, and the split by a task."""

import h5py
import numpy as np
import pytest

from moma.log_tools.importing import ImportDataError, convert, detect, open_log
from moma.log_tools.importing.plan import split_actions
from moma_core.datasets import Dataset
from moma_core.types import TaskSpec
from tests import logs
from tests.builders import MIXED, SPEC
from tests.logs import play


def run(path, out, task=None):
    made = convert(
        open_log(path, detect(path)), out, task=task, time_limit=None, tell=lambda *_: None
    )
    return Dataset.load(out), "\n".join((*made.notes, *made.warnings))


def npz(path, change=None, plays=None):
    arrays = {**logs.canonical(plays or play()), **(change or {})}
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def task_of(**fields):
    """A task of two agents on the flat log's state and three actuators."""
    given = {
        "name": "split",
        "agents": ("one", "two"),
        "state_names": ("a", "b", "c", "d"),
        "observation_index": ((0, 1), (2, 3)),
        "action_low": ((-1.0,), (-1.0, -0.5)),
        "action_high": ((1.0,), (1.0, 0.5)),
        "episode_limit": 8,
    }
    return TaskSpec(**{**given, **fields})


def test_a_task_splits_the_flat_log_of_one_agent(tmp_path):
    path = logs.write_d4rl(tmp_path / "d.hdf5", play())
    data, notes = run(path, tmp_path / "out", (task_of(), None))
    assert data.spec == task_of()
    np.testing.assert_array_equal(data.state, np.concatenate([p.state[:, :4] for p in play()]))
    flat = np.concatenate([np.concatenate(p.action, axis=1) for p in play()])
    np.testing.assert_array_equal(data.action[:, 0], np.pad(flat[:, :1], ((0, 0), (0, 1))))
    np.testing.assert_array_equal(data.action[:, 1, 0], flat[:, 1])
    np.testing.assert_array_equal(data.action[:, 1, 1], np.clip(flat[:, 2], -0.5, 0.5))
    clipped = int((np.abs(flat[:, 2]) > 0.5).sum())
    assert 0 < clipped < len(flat)
    assert f"{clipped} steps had an action out of its bounds" in notes
    assert "the first 4 of 5 columns are its state" in notes


def test_a_task_says_which_actuator_is_whose(tmp_path):
    path = logs.write_d4rl(tmp_path / "d.hdf5", play())
    data, _ = run(path, tmp_path / "out", (task_of(), ((2,), (0, 1))))
    flat = np.concatenate([np.concatenate(p.action, axis=1) for p in play()])
    np.testing.assert_array_equal(data.action[:, 0, 0], flat[:, 2])
    np.testing.assert_array_equal(data.action[:, 1, 0], flat[:, 0])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state_names": tuple("abcdef")}, "needs a state of 6 columns, the log has 5"),
        (
            {"action_low": ((0.0,), (0.0,)), "action_high": ((1.0,), (1.0,))},
            r"needs continuous actions of widths \(1, 1\), the log has continuous ones",
        ),
        (
            {
                "action_low": ((0.0,), (0.0, 0)),
                "action_high": ((1.0,), (1.0, 1.0)),
                "discrete": (True, True),
            },
            "needs discrete actions",
        ),
    ],
)
def test_a_task_that_does_not_fit_is_refused(tmp_path, fields, words):
    path = logs.write_d4rl(tmp_path / "d.hdf5", play())
    with pytest.raises(ImportDataError, match=words):
        run(path, tmp_path / "out", (task_of(**fields), None))


def test_a_team_without_a_global_state_is_not_split(tmp_path):
    path = logs.write_vault(tmp_path / "v", play(), state=False)
    with pytest.raises(ImportDataError, match="the log has 0, 2 agents"):
        run(path, tmp_path / "out", (SPEC, None))


def test_a_team_with_its_own_agents_and_state_keeps_them(tmp_path):
    path = npz(tmp_path / "log.npz")
    data, _ = run(path, tmp_path / "out", (SPEC, None))
    assert data.spec == SPEC
    np.testing.assert_array_equal(data.state, np.concatenate([p.state for p in play()]))


def test_copies_are_one_feature_only_if_they_are_equal_in_every_row(tmp_path):
    assert run(npz(tmp_path / "a.npz"), tmp_path / "out")[0].spec.state_width == 5
    seen = logs.canonical(play())["obs/narrow"].copy()
    seen[-1, 1] += 1e-6
    data, notes = run(npz(tmp_path / "b.npz", {"obs/narrow": seen}), tmp_path / "out")
    assert data.spec.state_width == 6
    assert data.spec.observation_index == ((0, 2, 4), (1, 5))
    assert "6 of 10 columns, 4 are copies" in notes


def test_without_observations_every_agent_sees_the_state(tmp_path):
    path = npz(tmp_path / "a.npz", {"obs/wide": None, "obs/narrow": None})
    assert run(path, tmp_path / "out")[0].spec.observation_index == (tuple(range(5)),) * 2


def test_rewards_of_agents_become_their_mean(tmp_path):
    team = logs.canonical(play())["reward"]
    for share, noted in ((0.0, False), (1.0, True)):
        change = {"reward": None, "reward/wide": team + share, "reward/narrow": team - share}
        data, notes = run(npz(tmp_path / "a.npz", change), tmp_path / "out")
        np.testing.assert_allclose(data.reward, team, atol=1e-6)
        assert ("rewards differ" in notes) == noted
        assert ("rewards differ" in str(data.origin["notes"])) == noted


def test_bounds_come_from_the_log_or_else_from_the_data(tmp_path):
    data, notes = run(npz(tmp_path / "a.npz"), tmp_path / "out")
    acted = np.concatenate([p.action[0] for p in play()])
    assert data.spec.action_low[0] == tuple(acted.min(axis=0).tolist())
    assert data.spec.action_high[0] == tuple(acted.max(axis=0).tolist())
    assert "the data's extremes" in notes
    assert "widened" not in notes
    meta = (
        '{"agents": [{"name": "wide", "action_low": [-3, -3], "action_high": [3, 3]},'
        ' {"name": "narrow", "action_low": [-0.1], "action_high": [9]}],'
        ' "state_names": ["p", "q", "r", "s", "t"]}'
    )
    data, notes = run(npz(tmp_path / "b.npz", {"meta": np.array(meta)}), tmp_path / "out")
    assert data.spec.action_high == ((3.0, 3.0), (9.0,))
    assert data.spec.state_names == tuple("pqrst")
    assert float(data.action[:, 1, 0].min()) == np.float32(-0.1)  # the others were clipped
    assert "out of its bounds" in notes


@pytest.mark.parametrize("said", [0, 4])
def test_an_agent_with_integers_chooses_and_the_other_keeps_its_bounds(tmp_path, said):
    choice = np.arange(13) % 3
    change = {"act/wide": choice}
    if said:
        change["meta"] = np.array(
            '{"agents": [{"name": "wide", "choices": 4},'
            ' {"name": "narrow", "action_low": [-3], "action_high": [9]}]}'
        )
    data, notes = run(npz(tmp_path / "a.npz", change), tmp_path / "out")
    acted = np.concatenate([p.action[1] for p in play()])
    own = (-3.0, 9.0) if said else (float(acted.min()), float(acted.max()))
    count = said or 3
    assert data.spec.discrete == (True, False)
    assert data.spec.action_low == ((0.0,) * count, own[:1])
    assert data.spec.action_high == ((1.0,) * count, own[1:])
    np.testing.assert_array_equal(data.action[:, 0], np.eye(count)[choice])
    np.testing.assert_array_equal(data.action[:, 1, :1], acted)
    assert not data.action[:, 1, 1:].any()
    source = "the log's own" if said else "the data's extremes"
    assert f"action bounds: one-hot choices of wide; of the others {source}" in notes


def test_an_agent_that_always_makes_the_first_choice_has_a_bound_for_it(tmp_path):
    still = {"act/wide": np.zeros(13, np.int64), "act/narrow": np.full((13, 1), 0.25, np.float32)}
    data, notes = run(npz(tmp_path / "a.npz", still), tmp_path / "out")
    assert data.spec.action_high == ((1.0,), (1.25,))
    assert "1 that never change are widened by 1" in notes


def test_a_mixed_task_needs_a_log_of_the_same_kinds(tmp_path):
    path = npz(tmp_path / "a.npz", {"act/wide": np.arange(13) % 3})
    data, _ = run(path, tmp_path / "out", (MIXED, None))
    assert data.spec == MIXED
    words = (
        r"mixed needs discrete, continuous actions of widths \(3, 1\), the log has continuous ones "
        r"of widths \(2, 1\)"
    )
    with pytest.raises(ImportDataError, match=words):
        run(npz(tmp_path / "b.npz"), tmp_path / "out", (MIXED, None))
    with pytest.raises(ImportDataError, match=r"needs continuous .* has discrete, continuous ones"):
        run(path, tmp_path / "out", (SPEC, None))


def test_an_action_that_never_changes_gets_bounds_around_it(tmp_path):
    still = {"act/narrow": np.full((13, 1), 0.25, np.float32)}
    data, notes = run(npz(tmp_path / "a.npz", still), tmp_path / "out")
    assert (data.spec.action_low[1], data.spec.action_high[1]) == ((-0.75,), (1.25,))
    assert "1 that never change are widened by 1" in notes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"obs/narrow": None}, "has no obs/narrow"),
        ({"terminated": None}, "has no terminated"),
        ({"reward": None}, "has no reward/wide, reward/narrow"),
        ({"act/wide": None, "act/narrow": None}, "has no act/AGENT"),
        ({"state": np.zeros((13, 5))}, "state has 13 rows, need 17: 13 steps in 4 episodes"),
        ({"episode_length": np.array([3, 5, 1, 5])}, "add up to 13"),
        ({"episode_length": np.array([3, 5, 0, 5])}, "numbers of 1 or more"),
        ({"terminated": np.ones(13, np.bool_)}, "terminated is set at row 0, and its episode goes"),
        ({"act/wide": np.zeros((13, 2), np.int64)}, "act/wide: integer actions are choices, one"),
        (
            {"meta": np.array('{"agents": [{"name": "narrow", "choices": 3}]}')},
            "narrow has 3 choices, one of its actions is 0.9944",
        ),
        (
            {
                "act/narrow": np.full(13, 3),
                "meta": np.array('{"agents": [{"name": "narrow", "choices": 3}]}'),
            },
            "narrow has 3 choices, one of its actions is 3",
        ),
        ({"meta": np.array('{"agents": [{"name": "nobody"}]}')}, "meta names"),
        ({"meta": np.array('{"agents": 3}')}, "is no Meta"),
        ({"reward": np.full(13, np.nan)}, "reward, column 0, is nan at row 0"),
        ({"act/narrow": np.full((13, 1), np.inf)}, "action, column 2, is inf at row 0"),
        ({"state": np.full((17, 5), np.nan)}, "state.0 is not finite at row 0"),
    ],
)
def test_a_log_that_makes_no_sense_is_refused_by_name(tmp_path, change, words):
    path = npz(tmp_path / "log.npz", change)
    with pytest.raises(ImportDataError, match=words):
        run(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_file_per_episode_is_read_in_the_order_of_names(tmp_path):
    (tmp_path / "log").mkdir()
    for k, one in enumerate(play()):
        npz(tmp_path / "log" / f"{k:03d}.npz", {"episode_length": None}, [one])
    data, _ = run(tmp_path / "log", tmp_path / "out")
    np.testing.assert_array_equal(data.reward, np.concatenate([p.reward for p in play()]))
    npz(tmp_path / "log" / "004.npz", {"state": None})
    with pytest.raises(ImportDataError, match=r"004.npz is of another team than .*000.npz"):
        run(tmp_path / "log", tmp_path / "out")


def test_a_choice_that_an_agent_does_not_have_is_refused():
    spec = task_of(
        action_low=((0.0,) * 2, (0.0,) * 3),
        action_high=((1.0,) * 2, (1.0,) * 3),
        discrete=(True, True),
    )
    flat, index = np.array([[1, 2], [0, 0]], np.float32), ((0,), (1,))
    assert split_actions(spec, flat, index).tolist() == [[[0, 1, 0], [0, 0, 1]], [[1, 0, 0]] * 2]
    for bad in ([[2, 0]], [[-1, 0]], [[0.5, 0]]):
        with pytest.raises(ImportDataError, match="one has 2 choices"):
            split_actions(spec, np.array(bad, np.float32), index)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rewards": None}, "has no rewards; it needs"),
        ({"next_observations": np.zeros((13, 4))}, "next_observations has rows of shapes"),
        ({"rewards": np.zeros(12)}, "rewards has 12 rows, observations has 13"),
        ({"actions": np.zeros((13, 2, 3))}, "observations of 1 agents, actions of 2"),
    ],
)
def test_a_flat_log_that_makes_no_sense_is_refused_by_name(tmp_path, change, words):
    path = logs.write_d4rl(tmp_path / "d.hdf5", play(), **change)
    with pytest.raises(ImportDataError, match=words):
        run(path, tmp_path / "out")


def test_formats_are_told_by_what_lies_there(tmp_path):
    assert detect(logs.write_d4rl(tmp_path / "a", play())) == "d4rl"
    assert detect(logs.write_omiga(tmp_path / "b", play())) == "omiga"
    assert detect(npz(tmp_path / "c.npz")) == "npz"
    assert detect(logs.write_lerobot(tmp_path / "l", play())) == "lerobot"
    assert detect(tmp_path / "l/data/chunk-000/file-000.parquet") == "parquet"
    assert detect(logs.write_vault(tmp_path / "v", play())) == "og-marl"
    with h5py.File(tmp_path / "d", "w") as file:
        file["else"] = np.zeros(3)
    for name, words in (("d", "neither D4RL's"), ("no", "does not exist"), ("l/meta", "no log in")):
        with pytest.raises(ImportDataError, match=words):
            detect(tmp_path / name)
