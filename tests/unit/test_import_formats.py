"""Every format comes out as the episodes that went in, its traps disarmed one by one."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from moma.log_tools.importing import ImportDataError, convert, detect, open_log
from moma_core.datasets import Dataset
from tests import logs
from tests.logs import OWN, WIDTHS, play


def run(path, out, task=None, time_limit=None):
    """Imports what lies there, its format detected; returns dataset and notes."""
    log = open_log(path, detect(path))
    made = convert(log, out, task=task, time_limit=time_limit, tell=lambda *_: None)
    return Dataset.load(out), "\n".join((*made.notes, *made.warnings))


def same(data, plays, *, team=True):
    """Compares a dataset with the episodes; a flat log has one agent that sees all."""
    ends = np.append(data.episode_start, data.transitions)
    assert np.diff(ends).tolist() == [len(one.reward) for one in plays]
    for k, one in enumerate(plays):
        rows = slice(ends[k], ends[k + 1])
        states = data.state[ends[k] + k : ends[k + 1] + k + 1]
        for agent, index in enumerate(data.spec.observation_index):
            np.testing.assert_array_equal(states[:, index], one.seen[agent] if team else one.state)
        flat = np.concatenate(one.action, axis=1)
        for agent, width in enumerate(WIDTHS if team else (3,)):
            acted = data.action[rows, agent, :width]
            np.testing.assert_array_equal(acted, one.action[agent] if team else flat)
        np.testing.assert_array_equal(data.reward[rows], one.reward)
        assert bool(data.terminated[ends[k + 1] - 1]) == one.terminated


def test_a_vault_is_read_up_to_its_index(tmp_path):
    path = logs.write_vault(tmp_path / "Good", play(), state=False, block=None)
    data, notes = run(path, tmp_path / "out")
    same(data, play())
    assert data.spec.agents == ("agent_0", "agent_1")
    assert data.spec.observation_index == ((0, 1, 2), (3, 2))
    assert (data.spec.observation_width, data.spec.action_width) == (3, 2)
    assert "1 columns of padding" in notes
    assert "1 action columns of padding" in notes


@pytest.mark.parametrize("pad", [0.0, -np.inf])
def test_padding_of_a_vault_is_dropped_and_other_infinities_are_not(tmp_path, pad):
    path = logs.write_vault(tmp_path / "padded", play(), pad=pad)
    assert run(path, tmp_path / "out")[0].spec.observation_index == (OWN[0], OWN[1])
    bad = play()
    bad[1].state[2, 4] = -np.inf
    path = logs.write_vault(tmp_path / "bad", bad, pad=pad)
    with pytest.raises(ImportDataError, match=r"state.4 is not finite at row 6; mend it"):
        run(path, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_the_state_of_a_vault_is_kept_beside_the_observations(tmp_path):
    data, _ = run(logs.write_vault(tmp_path / "v", play()), tmp_path / "out")
    same(data, play())
    assert data.spec.state_width == 5  # nobody sees feature 3
    np.testing.assert_array_equal(data.state, np.concatenate([one.state for one in play()]))


def test_streams_of_a_vault_do_not_run_into_each_other(tmp_path):
    plays = play(terminated=(0, 1, 0, 0))
    rows = logs.flat(plays, final=True)
    rows["timeout"][-1] = False  # the second stream begins where the first was cut
    flags = np.stack([rows["timeout"]] * 2, axis=1)
    path = logs.write_vault(tmp_path / "v", plays, streams=3, **{"truncations.": flags})
    same(run(path, tmp_path / "out")[0], plays * 3)


def test_discrete_actions_of_a_vault_become_one_hot(tmp_path):
    choice = np.random.default_rng(1).integers(0, 3, (17, 2)).astype(np.int32)
    choice[:2, 0] = (2, 0)
    for legals, count in ((4, 4), (0, 3)):
        path = logs.write_vault(
            tmp_path / f"v{legals}", play(), legals=legals, **{"actions.": choice}
        )
        data, _ = run(path, tmp_path / f"out{legals}")
        assert all(data.spec.discrete)
        assert data.action.shape == (13, 2, count)
        assert data.action.sum(axis=2).tolist() == [[1, 1]] * 13
        assert data.action.argmax(axis=2)[:3].tolist() == choice[:3].tolist()
        allowed = tmp_path / f"out{legals}" / "allowed.npy"
        assert allowed.exists() == bool(legals)
        assert not legals or np.load(allowed).shape == (17, 2, 4)


def test_an_episode_of_a_vault_goes_on_until_all_agents_have_ended(tmp_path):
    flags = np.stack([logs.flat(play(), final=True)["terminal"]] * 2, axis=1)
    flags[1, 0] = True
    path = logs.write_vault(tmp_path / "v", play(), **{"terminals.": flags})
    same(run(path, tmp_path / "out")[0], play())


def test_a_vault_of_standardised_observations_is_taken_back(tmp_path):
    rows = logs.flat(play(), final=True)["state"]
    path = logs.write_vault(tmp_path / "v", play(), **{"observations.": logs.standardise(rows)})
    data, notes = run(path, tmp_path / "out")
    assert data.spec.observation_index == (tuple(range(5)),) * 2
    np.testing.assert_allclose(data.state, rows, atol=1e-5)
    assert "physical units" in notes
    stranger = logs.standardise(rows)
    stranger[-1] += 0.5
    path = logs.write_vault(tmp_path / "w", play(), **{"observations.": stranger})
    assert run(path, tmp_path / "out")[0].spec.state_width > 5


def test_a_directory_of_vaults_names_them(tmp_path):
    logs.write_vault(tmp_path / "2ant.vlt" / "Good", play())
    logs.write_vault(tmp_path / "2ant.vlt" / "Poor", play())
    with pytest.raises(ImportDataError, match="give one: Good, Poor"):
        detect(tmp_path / "2ant.vlt")


def test_omiga_comes_back_in_physical_units_and_its_time_limits_are_no_terminals(tmp_path):
    plays = play((3, 5, 2, 5), (1, 0, 1, 0))
    data, notes = run(logs.write_omiga(tmp_path / "o.hdf5", plays), tmp_path / "out")
    assert data.spec.observation_index == (tuple(range(5)),) * 2
    assert data.state.shape == (19, 5)
    np.testing.assert_allclose(data.state, np.concatenate([p.state for p in plays]), atol=1e-5)
    np.testing.assert_array_equal(data.reward, np.concatenate([p.reward for p in plays]))
    ends = np.append(data.episode_start[1:], data.transitions) - 1
    assert data.terminated[ends].tolist() == [True, False, True, False]
    assert "2 episodes of 5 steps that ended as terminated are truncated" in notes


def test_another_time_limit_can_be_named(tmp_path):
    plays = play((3, 5, 2, 5), (1, 1, 1, 1))
    path = logs.write_omiga(tmp_path / "o.hdf5", plays)
    data, notes = run(path, tmp_path / "out", time_limit=3)
    ends = np.append(data.episode_start[1:], data.transitions) - 1
    assert data.terminated[ends].tolist() == [False, True, True, True]
    assert "1 episodes of 3 steps" in notes


def test_omiga_without_ids_is_left_as_it_is_and_says_so(tmp_path):
    seen = np.random.default_rng(5).normal(size=(17, 2, 4)).astype(np.float32)
    data, notes = run(
        logs.write_omiga(tmp_path / "o.hdf5", play(), s=seen, o=seen), tmp_path / "out"
    )
    assert data.spec.state_width == 8
    assert "left as they are" in notes


def test_d4rl_with_next_observations_keeps_every_step(tmp_path):
    data, _ = run(logs.write_d4rl(tmp_path / "d.hdf5", play()), tmp_path / "out")
    same(data, play(), team=False)
    assert data.spec.agents == ("agent_0",)
    assert data.spec.episode_limit == 5


def test_d4rl_without_them_drops_the_last_step_and_keeps_the_reward_of_terminals(tmp_path):
    path = logs.write_d4rl(tmp_path / "d.hdf5", play(), following=False)
    data, notes = run(path, tmp_path / "out")
    assert np.diff(np.append(data.episode_start, data.transitions)).tolist() == [2, 4, 3]
    kept = [p for p in play() if len(p.reward) > 1]
    for k, one in enumerate(kept):
        reward = data.reward[data.episode_start[k] :][: len(one.reward) - 1]
        np.testing.assert_allclose(reward.sum(), one.reward[: None if one.terminated else -1].sum())
        states = data.state[data.episode_start[k] + k :][: len(one.reward)]
        np.testing.assert_array_equal(states, one.state[:-1])
    assert "4 last steps without a state after them dropped" in notes
    assert "1 episodes of a single row dropped" in notes


def test_timeouts_of_d4rl_are_no_terminals(tmp_path):
    plays = play(terminated=(1, 0, 1, 0))
    data, _ = run(logs.write_d4rl(tmp_path / "d.hdf5", plays), tmp_path / "out")
    ends = np.append(data.episode_start[1:], data.transitions) - 1
    assert data.terminated[ends].tolist() == [True, False, True, False]
    assert data.truncated[ends].tolist() == [False, True, False, True]


def test_d4rl_without_timeouts_is_cut_where_it_does_not_continue(tmp_path):
    plays = play(terminated=(0, 0, 0, 0))
    data, notes = run(logs.write_d4rl(tmp_path / "d.hdf5", plays, timeouts=None), tmp_path / "out")
    same(data, plays, team=False)
    assert "no timeouts in it" in notes


def test_what_may_be_a_time_limit_is_pointed_out(tmp_path):
    path = logs.write_d4rl(tmp_path / "d.hdf5", play((5, 2, 5), (1, 1, 1)))
    assert "say --time-limit 5" in run(path, tmp_path / "out")[1]
    data, notes = run(path, tmp_path / "out", time_limit=5)
    assert (int(data.terminated.sum()), int(data.truncated.sum())) == (1, 2)
    assert "say --time-limit" not in notes


TEAM = {"wide": 3, "narrow": 2}


def team(one):
    return dict(zip(TEAM, one.seen, strict=True)), dict(zip(TEAM, one.action, strict=True))


def test_minari_dict_spaces_are_a_team(tmp_path, monkeypatch):
    spaces = (
        Dict({name: Box(-np.inf, np.inf, (width,), np.float32) for name, width in TEAM.items()}),
        Dict({"wide": Box(-1, 1, (2,), np.float32), "narrow": Box(-2, 1.5, (1,), np.float32)}),
    )
    path = logs.write_minari(tmp_path, play(), spaces, team, monkeypatch, state=lambda p: p.state)
    data, notes = run(path, tmp_path / "out")
    names = data.spec.agents
    assert set(names) == set(TEAM)
    plays = [
        logs.Play(
            state=p.state,
            action=tuple(team(p)[1][n] for n in names),
            reward=p.reward,
            terminated=p.terminated,
        )
        for p in play()
    ]
    for k, one in enumerate(plays):
        rows = slice(data.episode_start[k], data.episode_start[k] + len(one.reward))
        np.testing.assert_array_equal(data.state[rows.start + k : rows.stop + k + 1], one.state)
        for agent, action in enumerate(one.action):
            np.testing.assert_array_equal(data.action[rows, agent, : action.shape[1]], action)
    assert data.spec.action_high[names.index("narrow")] == (1.5,)
    assert data.spec.observation_index[names.index("narrow")] == OWN[1]
    assert int(data.terminated.sum()) == 2
    assert "the log's own" in notes


def test_minari_box_spaces_are_one_agent_and_discrete_ones_choices(tmp_path, monkeypatch):
    seen = Box(-np.inf, np.inf, (5,), np.float32)
    path = logs.write_minari(
        tmp_path / "box",
        play(),
        (seen, Box(-np.inf, np.inf, (3,), np.float32)),
        lambda p: (p.state, np.concatenate(p.action, axis=1)),
        monkeypatch,
    )
    data, notes = run(path, tmp_path / "out")
    same(data, play(), team=False)
    assert "the data's extremes" in notes  # the space has no bounds
    path = logs.write_minari(
        tmp_path / "discrete",
        play(),
        (Tuple((seen, seen)), Tuple((Discrete(4), Discrete(3)))),
        lambda p: ((p.state, p.state), tuple((a[:, 0] > 0).astype(np.int64) for a in p.action)),
        monkeypatch,
    )
    data, _ = run(path, tmp_path / "out")
    assert [len(low) for low in data.spec.action_low] == [4, 3]
    assert data.action[0, 0].tolist() == np.eye(4)[int(play()[0].action[0][0, 0] > 0)].tolist()
    assert data.spec.state_width == 5


def test_minari_a_box_beside_a_discrete_space_is_a_mixed_team(tmp_path, monkeypatch):
    seen = Box(-np.inf, np.inf, (5,), np.float32)
    acted = Tuple((Discrete(4), Box(-2, 1.5, (1,), np.float32)))
    path = logs.write_minari(
        tmp_path,
        play(),
        (Tuple((seen, seen)), acted),
        lambda p: (
            (p.state, p.state),
            ((p.action[0][:, 0] > 0).astype(np.int64), p.action[1]),
        ),
        monkeypatch,
    )
    data, notes = run(path, tmp_path / "out")
    assert data.spec.discrete == (True, False)
    assert (data.spec.action_low, data.spec.action_high) == (
        ((0.0,) * 4, (-2.0,)), ((1.0,) * 4, (1.5,)),
    )  # fmt: skip
    acted = [np.concatenate(parts) for parts in zip(*(one.action for one in play()), strict=True)]
    np.testing.assert_array_equal(data.action[:, 0].argmax(1), acted[0][:, 0] > 0)
    np.testing.assert_array_equal(data.action[:, 1, :1], acted[1])
    assert "of the others the log's own" in notes


def test_lerobot_is_one_agent_with_named_features(tmp_path):
    plays = play(terminated=(1, 1, 1, 1))
    data, notes = run(logs.write_lerobot(tmp_path / "l", plays, files=2), tmp_path / "out")
    assert data.spec.state_names == ("a", "b", "c", "d", "goal")
    assert np.diff(np.append(data.episode_start, data.transitions)).tolist() == [2, 4, 3]
    np.testing.assert_array_equal(data.state[:3], plays[0].state[:3])
    assert int(data.terminated.sum()) == 3
    ends = np.append(data.episode_start[1:], data.transitions) - 1
    last = [p.reward[-2:] for p in plays if len(p.reward) > 1]
    np.testing.assert_allclose(data.reward[ends], np.sum(last, axis=1), atol=1e-6)
    assert "that of the 3 that terminated is added to the step before" in notes
    data, notes = run(tmp_path / "l", tmp_path / "out", time_limit=4)
    assert data.terminated[ends].tolist() == [True, False, True]
    assert data.reward[ends[1]] == plays[1].reward[-2]  # cut off, so nothing was added
    assert "that of the 2 that terminated" in notes


def test_lerobot_without_rewards_is_refused_and_without_done_never_terminates(tmp_path):
    path = logs.write_lerobot(tmp_path / "no", play(), **{"next.reward": None})
    with pytest.raises(
        ImportDataError, match=r"neither next.reward nor reward is among its features"
    ):
        open_log(path, "lerobot")
    path = logs.write_lerobot(tmp_path / "l", play(), **{"next.done": None})
    assert not run(path, tmp_path / "out")[0].terminated.any()


@pytest.mark.parametrize(
    ("write", "change"),
    [
        (logs.write_vault, {"actions.": np.zeros((17, 3, 2), np.float32)}),
        (logs.write_vault, {"observations.": np.zeros((17, 2), np.float32)}),
        (logs.write_omiga, {"a": np.zeros((17, 3, 2))}),
        (logs.write_omiga, {"d": np.zeros((16, 2))}),
        (logs.write_omiga, {"s": np.zeros((17, 2))}),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(tmp_path, write, change):
    path = write(tmp_path / "log", play(), **change)
    with pytest.raises(ImportDataError, match=r"must be \(.*agents, width\).*; got"):
        open_log(path, detect(path))
