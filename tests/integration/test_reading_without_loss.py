"""What a log says is kept, or refused by name: each kind of loss in several formats."""

from __future__ import annotations

import json
import pickle

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from moma.cli import main as cli
from moma.log_tools.findings import find
from moma.log_tools.importing import ImportDataError, convert, detect, open_log
from moma.log_tools.importing.precision import Rounding
from moma_core.datasets import Dataset
from tests import logs

T, E = 12, 6
COLUMNS = """
episode = "run"
time = "t"
terminated = ["crashed"]
reward = ["reward"]

[agents.a]
observation = ["x", "y"]
action = ["u"]
"""


def rows(seed=0):
    """A walk of one agent: T steps and a final state in each of E episodes, far apart."""
    random = np.random.default_rng(seed)
    start = np.repeat(10.0 * np.arange(E), T + 1)[:, None]
    steps = random.normal(0, 0.1, (E, T + 1, 2)).cumsum(axis=1).reshape(-1, 2)
    return {
        "seen": start + steps,
        "acted": random.uniform(-1, 1, (E * T, 1)),
        "reward": random.normal(size=E * T),
        "stamp": 0.1 * np.arange(E * (T + 1)),
    }


def canonical(given):
    return {
        "obs/a": given["seen"],
        "act/a": given["acted"],
        "reward": given["reward"],
        "terminated": np.zeros(E * T, np.bool_),
        "timestamp": given["stamp"],
    }


def write_npz(path, given, meta=None, **change):
    arrays = {**canonical(given), "episode_length": np.full(E, T), **change}
    if meta is not None:
        arrays["meta"] = np.array(json.dumps(meta))
    np.savez(path / "log.npz", **{k: v for k, v in arrays.items() if v is not None})
    return path / "log.npz"


def final_rows(array):
    """Rows of steps with one more after each episode, a repetition."""
    split = np.asarray(array).reshape(E, T, *np.shape(array)[1:])
    return np.concatenate([split, split[:, -1:]], axis=1).reshape(E * (T + 1), *split.shape[2:])


def table(given):
    """Columns of a row per step and a last row of each episode with a null reward."""
    last = np.tile(np.arange(T + 1) == T, E)
    return {
        "episode": np.repeat(np.arange(E), T + 1),
        "obs/a": list(given["seen"]),
        "act/a": final_rows(given["acted"])
        if given["acted"].ndim == 1
        else list(final_rows(given["acted"])),
        "reward": pyarrow.array(final_rows(given["reward"]), mask=last),
        "terminated": np.zeros(E * (T + 1), np.bool_),
        "timestamp": given["stamp"],
    }


def write_parquet(path, given, meta=None, **change):
    columns = {**table(given), **change}
    found = pyarrow.table({k: v for k, v in columns.items() if v is not None})
    if meta is not None:
        found = found.replace_schema_metadata({"meta": json.dumps(meta)})
    pyarrow.parquet.write_table(found, path / "log.parquet")
    return path / "log.parquet"


def write_csv(path, given, meta=None, delimiter=","):
    """Every step and final state as text; `meta` goes to columns.toml."""
    said = COLUMNS
    for name in ("action_low", "action_high", "choices"):
        for agent in (meta or {}).get("agents", ()):
            said += f"{name} = {agent[name]}\n" if name in agent else ""
    (path / "columns.toml").write_text(said)
    lines = [delimiter.join(("run", "t", "x", "y", "u", "reward", "crashed"))]
    step = 0
    for state in range(E * (T + 1)):
        x, y = (repr(float(v)) for v in given["seen"][state])
        values = [f"run{state // (T + 1)}", repr(float(given["stamp"][state])), x, y]
        if state % (T + 1) < T:
            acted = float(np.reshape(given["acted"][step], -1)[0])
            values += [repr(acted), repr(float(given["reward"][step])), "False"]
            step += 1
        else:
            values += ["", "", ""]
        lines.append(delimiter.join(values))
    (path / "log.csv").write_text("\n".join(lines) + "\n")
    return path


def write_d4rl(path, given, **change):
    """A row per step and no final states, ends marked by `timeouts`."""
    seen = given["seen"].reshape(E, T + 1, 2)
    end = np.tile(np.arange(T) == T - 1, E)
    arrays = {
        "observations": seen[:, :-1].reshape(-1, 2),
        "actions": given["acted"],
        "rewards": given["reward"],
        "terminals": np.zeros(E * T, np.bool_),
        "timeouts": end,
        **change,
    }
    with h5py.File(path / "log.hdf5", "w") as file:
        for name, array in arrays.items():
            if array is not None:
                file[name] = array
    return path / "log.hdf5"


WRITERS = {"npz": write_npz, "parquet": write_parquet, "csv": write_csv, "d4rl": write_d4rl}


def read(path, out, **how):
    """Returns the dataset, and all that the import says."""
    made = convert(
        open_log(path, how.pop("kind", None) or detect(path)),
        out,
        task=None,
        time_limit=None,
        tell=lambda *_: None,
        **how,
    )
    return Dataset.load(out), made


def said(data):
    return "\n".join(f"{one.severity}: {one.what}" for one in find(data))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_log_comes_out_as_it_went_in(tmp_path, kind):
    given = rows()
    data, made = read(WRITERS[kind](tmp_path, given), tmp_path / "out")
    steps = T - (kind == "d4rl")
    assert (data.episodes, data.transitions) == (E, E * steps)
    seen = given["seen"].reshape(E, T + 1, 2)[:, : steps + 1].reshape(-1, 2)
    np.testing.assert_allclose(data.state, seen, rtol=1e-6)
    acted = given["acted"].reshape(E, T)[:, :steps].reshape(-1)
    np.testing.assert_allclose(data.action[:, 0, 0], acted, rtol=1e-6)
    assert made.spec.state_offset == ()
    if kind != "d4rl":
        np.testing.assert_array_equal(np.load(tmp_path / "out/timestamp.npy"), given["stamp"])
    # the other way round: of d4rl's truncated episodes a reward is lost, and it is said
    assert ("last steps without a state" in "".join(made.warnings)) == (kind == "d4rl")


@pytest.mark.parametrize("kind", WRITERS)
def test_numbers_far_from_zero_keep_their_changes(tmp_path, kind):
    given = rows()
    near = given["seen"] - 10.0 * np.repeat(np.arange(E), T + 1)[:, None]
    given["seen"] = near * [0.1, 1] + [4.5e6, 1.7e9]
    data, made = read(WRITERS[kind](tmp_path, given), tmp_path / "out")
    offset = np.array(made.spec.state_offset)
    assert offset.shape == (2,)
    assert data.spec.state_offset == made.spec.state_offset
    steps = T - (kind == "d4rl")
    seen = given["seen"].reshape(E, T + 1, 2)[:, : steps + 1].reshape(-1, 2)
    np.testing.assert_allclose(data.state + offset, seen, atol=1e-6)
    for column in (0, 1):
        assert len(np.unique(data.state[:, column])) > 0.95 * len(seen)
        assert len(np.unique(seen[:, column].astype(np.float32))) < 10  # what it would have been
    assert "is taken off" in "".join(made.notes)
    for out in ("npz", "parquet"):
        file = tmp_path / f"again.{out}"
        cli.main(["data", "export", str(data.path), "--format", out, "--out", str(file)])
        back, _ = read(file, tmp_path / f"{out}-again")
        np.testing.assert_array_equal(back.state, data.state)
        assert back.spec.state_offset == data.spec.state_offset


@pytest.mark.parametrize("kind", WRITERS)
def test_what_no_offset_can_save_is_refused_by_name(tmp_path, kind):
    given = rows()
    given["seen"] = given["seen"] * [1, 1e-8] + [0, 4.5e6]
    given["seen"][: T + 1, 1] -= 9e6  # far from each other as well as from 0
    with pytest.raises(ImportDataError, match=r"(a|agent_0)\.1|y changes so little"):
        read(WRITERS[kind](tmp_path, given), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    given = rows()
    given["acted"] += 1e9
    with pytest.raises(ImportDataError, match="action, column 0, changes so little"):
        read(WRITERS[kind](tmp_path, given), tmp_path / "out")


def test_of_narrow_numbers_nothing_is_lost():
    far = 4.5e6 + np.cumsum(np.full((50, 1), 0.01), axis=0)
    lost = Rounding(far[0])
    lost.add(far)
    assert lost.lost[0, 0] > 0.5 > 1e-4 > lost.lost[1, 0]
    stored = Rounding(far[0])
    stored.add(far.astype(np.float32))
    assert not stored.lost.any()


@pytest.mark.parametrize(
    "name",
    ["timeouts", "truncations", "truncateds", "truncated", "episode_terminals", "done", "is_last"],
)
@pytest.mark.parametrize("kind", ["d4rl", "npz", "pickle"])
def test_ends_have_many_names(tmp_path, name, kind):
    given, end = rows(), np.tile(np.arange(T) == T - 1, E)
    path = write_d4rl(tmp_path, given, **{"timeouts": None, name: end})
    if kind != "d4rl":
        with h5py.File(path) as file:
            arrays = {key: file[key][()] for key in file}
        path = tmp_path / f"log.{kind}"
        if kind == "npz":
            np.savez(path, **arrays)
        else:
            path.write_bytes(pickle.dumps(arrays))
    how = {"kind": "moma-ppo-pickle"} if kind == "pickle" else {}
    data, _ = read(path, tmp_path / "out", **how)
    assert data.episodes == E
    assert not data.terminated.any()


@pytest.mark.parametrize("kind", ["d4rl", "npz", "parquet", "csv"])
def test_without_ends_jumps_are_found_and_flags_are_named(tmp_path, kind):
    given, end = rows(), np.tile(np.arange(T) == T - 1, E)
    if kind == "d4rl":
        path = write_d4rl(tmp_path, given, timeouts=None, arrived=end)
    elif kind == "npz":
        one = {"obs/a": given["seen"][: -E + 1], "timestamp": None, "episode_length": None}
        path = write_npz(tmp_path, given, arrived=end, **one)
    elif kind == "parquet":
        path = write_parquet(
            tmp_path, given, episode=np.zeros(E * (T + 1)).astype(int), arrived=final_rows(end),
            reward=final_rows(given["reward"]),
        )  # fmt: skip
    else:
        path = write_csv(tmp_path, given)
        text = (
            (path / "log.csv").read_text().replace("crashed", "arrived").replace(",,,\n", ",0,0,\n")
        )
        (path / "log.csv").write_text(text)
        said_of = (path / "columns.toml").read_text()
        said_of = said_of.replace('"run"', '""').replace('terminated = ["crashed"]', "")
        (path / "columns.toml").write_text(said_of)
    data, made = read(path, tmp_path / "out")
    assert data.episodes == 1
    assert "flags that are not read: arrived" in "".join(made.notes)
    (jump,) = (one for one in find(data) if "leaps" in one.what)
    assert jump.count == E - 1
    (tmp_path / "whole").mkdir()
    clean, _ = read(write_parquet(tmp_path / "whole", given), tmp_path / "clean")
    assert "leaps" not in said(clean)


def test_flags_of_agents_that_are_set_once_each_end_the_episode(tmp_path):
    plays = logs.play((6, 4, 5), (1, 1, 1))
    flat = logs.flat(plays, final=True)
    flags = np.zeros((len(flat["terminal"]), 2), np.bool_)
    last = np.flatnonzero(flat["terminal"])
    flags[last - 2, 0] = flags[last, 1] = True  # agent 0 is done two steps earlier
    path = logs.write_vault(tmp_path / "v", plays, **{"terminals.": flags})
    data, _ = read(path, tmp_path / "out")
    assert data.lengths.tolist() == [6, 4, 5]
    assert len(data.terminals) == 3
    given = rows()
    ends = {f"terminated/{name}": np.zeros(E * T, np.bool_) for name in "ab"}
    ends["terminated/a"][5::T] = ends["terminated/b"][T - 1 :: T] = True
    two = {"obs/b": given["seen"], "act/b": given["acted"], "terminated": None, **ends}
    data, _ = read(write_npz(tmp_path, given, **two), tmp_path / "npz")
    assert (data.episodes, len(data.terminals)) == (E, E)
    ends["terminated/b"][3::T] = True
    ends["terminated/b"][T - 1 :: T] = False  # both are over, and the episode goes on
    with pytest.raises(ImportDataError, match="is set at row 5, and its episode goes on to row 11"):
        read(write_npz(tmp_path, given, **two), tmp_path / "never")


@pytest.mark.parametrize("kind", ["parquet", "csv", "lerobot"])
def test_an_episode_that_comes_back_is_refused(tmp_path, kind):
    given = rows()
    mixed = np.repeat(np.arange(E), T + 1)
    mixed[2 * (T + 1) : 3 * (T + 1)] = 0
    if kind == "parquet":
        path = write_parquet(tmp_path, given, episode=mixed)
    elif kind == "csv":
        path = write_csv(tmp_path, given)
        file = path / "log.csv"
        file.write_text(file.read_text().replace("run2,", "run0,"))
    else:
        plays = logs.play((4, 4, 4), (0, 0, 0))
        numbers = np.repeat([0, 1, 0], 4)
        path = logs.write_lerobot(tmp_path / "l", plays, episode_index=numbers)
    with pytest.raises(ImportDataError, match="episode 0 comes back at row"):
        read(path, tmp_path / "out")


def test_interleaved_episodes_are_found(tmp_path):
    given = rows()
    walks = given["seen"].reshape(E, T + 1, 2)
    given["seen"] = walks.reshape(2, -1, 2).transpose(1, 0, 2).reshape(-1, 2)
    for kind in ("npz", "csv"):
        change = {"one": write_npz, "csv": write_csv}.get(kind, write_npz)(tmp_path, given)
        path = tmp_path if kind == "csv" else change
        data, _ = read(path, tmp_path / kind, **({"kind": "csv"} if kind == "csv" else {}))
        assert "goes on 2 rows later" in said(data)
    data, _ = read(write_npz(tmp_path, rows()), tmp_path / "clean")
    assert "rows later" not in said(data)


DECLARED = {"agents": [{"name": "a", "choices": 4}]}


@pytest.mark.parametrize("kind", ["npz", "parquet", "csv"])
def test_choices_that_are_declared_hold_for_floats(tmp_path, kind):
    given = rows()
    choice = np.arange(E * T) % 3
    given["acted"] = choice.astype(np.float64)
    data, _ = read(WRITERS[kind](tmp_path, given, DECLARED), tmp_path / "out")
    assert data.spec.discrete == (True,)
    assert len(data.spec.action_low[0]) == 4
    np.testing.assert_array_equal(data.action[:, 0].argmax(1), choice)
    given["acted"] = choice + 0.5
    with pytest.raises(ImportDataError, match=r"a has 4 choices, one of its actions is 0.5"):
        read(WRITERS[kind](tmp_path, given, DECLARED), tmp_path / "never")


@pytest.mark.parametrize("kind", WRITERS)
def test_whole_floats_of_which_nothing_is_said_are_asked_about(tmp_path, kind):
    given = rows()
    given["acted"] = (np.arange(E * T) % 3).astype(np.float64)
    path = WRITERS[kind](tmp_path, given)
    with pytest.raises(ImportDataError, match="whole numbers, 0 to 2, stored as floats: is each"):
        read(path, tmp_path / "out")
    data, _ = read(path, tmp_path / "choices", whole="choices")
    assert data.spec.discrete == (True,)
    data, _ = read(path, tmp_path / "amounts", whole="continuous")
    assert (data.spec.discrete, data.spec.action_high) == ((False,), ((2.0,),))


@pytest.mark.parametrize("kind", ["npz", "parquet", "csv"])
def test_bounds_that_do_not_fit_are_refused(tmp_path, kind):
    meta = {"agents": [{"name": "a", "action_low": [-1.0, -1.0], "action_high": [1.0, 1.0]}]}
    with pytest.raises(ImportDataError, match="agent a: action_low has 2 entries, need 1"):
        read(WRITERS[kind](tmp_path, rows(), meta), tmp_path / "out")


@pytest.mark.parametrize("kind", ["npz", "parquet", "csv"])
def test_more_than_a_few_clipped_actions_are_warned_of(tmp_path, kind):
    meta = {"agents": [{"name": "a", "action_low": [-0.5], "action_high": [0.5]}]}
    given = rows()
    data, made = read(WRITERS[kind](tmp_path, given, meta), tmp_path / "out")
    share = (np.abs(given["acted"]) > 0.5).mean()
    (warning,) = made.warnings
    assert f"clipped: {share:.1%} of all (a unit error?)" in warning
    assert f"warning: {warning}" in said(data)
    given["acted"] = np.clip(given["acted"], -0.5, 0.5)
    given["acted"].reshape(-1)[0] = -1  # one of 72 is 1.4 %
    assert read(WRITERS[kind](tmp_path, given, meta), tmp_path / "one")[1].warnings
    meta["agents"][0].update(action_low=[-1.0])
    assert not read(WRITERS[kind](tmp_path, given, meta), tmp_path / "none")[1].warnings


@pytest.mark.parametrize("kind", WRITERS)
def test_a_reward_that_never_changes_is_warned_of(tmp_path, kind):
    given = rows()
    data, _ = read(WRITERS[kind](tmp_path, given), tmp_path / "varies")
    assert "in every step" not in said(data)
    given["reward"] = np.zeros(E * T)
    data, made = read(WRITERS[kind](tmp_path, given), tmp_path / "out")
    assert "warning: reward: 0 in every step" in said(data)
    assert not made.warnings  # nothing was lost with d4rl's last steps


@pytest.mark.parametrize("kind", ["npz", "parquet", "csv"])
def test_time_stamps_are_kept_and_looked_at(tmp_path, kind):
    given = rows()
    given["stamp"] = 1.7e9 + given["stamp"]
    given["stamp"][60:] += 3
    given["stamp"][70] -= 0.25
    data, _ = read(WRITERS[kind](tmp_path, given), tmp_path / "out")
    found = {one.what.split(":")[0]: one for one in find(data) if one.file == "timestamp.npy"}
    assert 60 in found["gaps"].rows
    assert any(70 in one.rows for what, one in found.items() if "goes back" in what)


def test_dates_are_seconds(tmp_path):
    given = rows()
    path = write_csv(tmp_path, given)
    lines = (path / "log.csv").read_text().splitlines()
    dated = [lines[0]]
    for i, line in enumerate(lines[1:]):
        run, _, rest = line.split(",", 2)
        dated.append(f"{run},2026-03-01 10:00:{i % 60:02d}.5,{rest}")
    (path / "log.csv").write_text("\n".join(dated) + "\n")
    data, _ = read(path, tmp_path / "out")
    stamp = np.load(data.path / "timestamp.npy")
    assert stamp[1] - stamp[0] == 1
    assert stamp[0] == 1772359200.5


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_presence_and_allowed_choices_are_kept_and_exported(tmp_path, kind):
    given, random = rows(), np.random.default_rng(1)
    there = random.random(E * (T + 1)) < 0.8
    allowed = random.random((E * (T + 1), 3)) < 0.7
    allowed[:, 0] = True
    given["acted"] = np.zeros(E * T, np.int64)
    marks = {"mask/a": there, "avail/a": allowed if kind == "npz" else list(allowed)}
    meta = {"agents": [{"name": "a", "choices": 3, "observation_names": ["east", "north"]}]}
    data, _ = read(WRITERS[kind](tmp_path, given, meta, **marks), tmp_path / "out")
    assert data.spec.state_names == ("east", "north")
    np.testing.assert_array_equal(np.load(data.path / "present.npy"), there[:, None])
    np.testing.assert_array_equal(np.load(data.path / "allowed.npy")[:, 0], allowed)
    assert "absent" in said(data)
    assert "not allowed" not in said(data)
    for out in ("npz", "parquet"):
        file = tmp_path / f"again.{out}"
        assert (
            cli.main(["data", "export", str(data.path), "--format", out, "--out", str(file)]) == 0
        )
        back, _ = read(file, tmp_path / f"{out}-again")
        np.testing.assert_array_equal(back.state, data.state)
        for name in ("present", "allowed", "timestamp"):
            np.testing.assert_array_equal(
                np.load(back.path / f"{name}.npy"), np.load(data.path / f"{name}.npy")
            )
        assert back.spec.state_names == data.spec.state_names
    allowed[:, 0] = False
    marks["avail/a"] = allowed if kind == "npz" else list(allowed)
    data, _ = read(WRITERS[kind](tmp_path, given, meta, **marks), tmp_path / "wrong")
    assert "warning: action of a: choice 0 was made and not allowed" in said(data)


def test_agents_come_in_the_order_of_their_space(tmp_path, monkeypatch):
    names = [f"drone_{i}" for i in range(12)]
    seen = Box(-np.inf, np.inf, (5,), np.float32)
    inner = Dict({"gps": seen, "speed": Box(-1, 1, (1,), np.float32)})
    spaces = (
        Dict([(n, inner) for n in names]),
        Dict([(n, Discrete(3, start=1)) for n in names]),
    )
    assert list(spaces[1].spaces) == names

    def parts(one):
        extra = np.zeros((len(one.state), 1), np.float32)
        return (
            {n: {"gps": one.state, "speed": extra} for n in names},
            {n: (np.arange(len(one.reward)) % 3 + 1) for n in names},
        )

    for storage in ("hdf5", "arrow", "parquet"):
        path = logs.write_minari(
            tmp_path / storage, logs.play(), spaces, parts, monkeypatch, storage=storage,
            state=lambda one: ["text"] * (len(one.reward) + 1),
        )  # fmt: skip
        data, made = read(path, tmp_path / f"out-{storage}")
        assert data.spec.agents == tuple(names)
        assert data.spec.discrete == (True,) * 12
        np.testing.assert_array_equal(data.action[:3, 0].argmax(1), [0, 1, 2])
        np.testing.assert_array_equal(data.state[:4, :5], logs.play()[0].state)
        assert "infos/state" in "".join(made.notes)
        assert data.transitions == 13
    meta = {"agents": [{"name": n} for n in ("b", "a")]}
    given = rows()
    two = {"obs/b": given["seen"] + 1, "act/b": given["acted"]}
    assert read(write_npz(tmp_path, given, meta, **two), tmp_path / "npz")[0].spec.agents == (
        "b",
        "a",
    )


def test_images_are_refused_by_name(tmp_path, monkeypatch):
    given = rows()
    pixels = np.zeros((E * T, 16, 16, 3), np.uint8)
    with pytest.raises(ImportDataError, match=r"observations has shape .*images cannot"):
        read(write_d4rl(tmp_path, given, observations=pixels), tmp_path / "out")
    states = np.zeros((E * (T + 1), 16, 16, 3), np.uint8)
    with pytest.raises(ImportDataError, match=r"obs/a.npy has shape .*images cannot"):
        read(write_npz(tmp_path, given, **{"obs/a": states}), tmp_path / "out")
    path = logs.write_lerobot(tmp_path / "l", logs.play())
    info = json.loads((path / "meta/info.json").read_text())
    info["features"]["observation.images.top"] = {"dtype": "video", "shape": [480, 640, 3]}
    (path / "meta/info.json").write_text(json.dumps(info))
    assert "observation.images.top" in "".join(read(path, tmp_path / "seen")[1].notes)
    del info["features"]["observation.state"]
    (path / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(ImportDataError, match=r"images and the like \(observation.images.top\)"):
        open_log(path, "lerobot")
    spaces = Box(0, 255, (16, 16, 3), np.uint8), Box(-1, 1, (3,), np.float32)
    path = logs.write_minari(
        tmp_path, logs.play(), spaces,
        lambda p: (np.zeros((len(p.state), 16, 16, 3), np.uint8), np.concatenate(p.action, axis=1)),
        monkeypatch,
    )  # fmt: skip
    with pytest.raises(ImportDataError, match=r"observations has shape .*images cannot"):
        open_log(path, "minari")


def write_d3rlpy(path, plays, version="2.1"):
    """What `ReplayBuffer.dump` writes."""
    with h5py.File(path, "w") as file:
        file["columns"] = ["observations", "actions", "rewards", "terminated"]
        file["num_episodes"], file["version"] = len(plays), version
        for i, one in enumerate(plays):
            file[f"observations_{i}"] = one.state[:-1]
            file[f"actions_{i}"] = np.concatenate(one.action, axis=1)
            file[f"rewards_{i}"] = one.reward[:, None]
            file[f"terminated_{i}"] = one.terminated
    return path


def test_buffers_of_d3rlpy_are_read(tmp_path):
    plays = logs.play((6, 4, 5), (0, 1, 0))
    data, made = read(write_d3rlpy(tmp_path / "buffer.h5", plays), tmp_path / "out")
    assert data.lengths.tolist() == [5, 3, 4]
    np.testing.assert_array_equal(data.state[:6], plays[0].state[:-1])
    assert data.terminated[data.edges[1:] - 1].tolist() == [False, True, False]
    assert data.reward[7] == np.float32(plays[1].reward[2] + plays[1].reward[3])
    assert "3 last steps" in made.warnings[0]


def test_lerobot_of_both_versions(tmp_path):
    plays = logs.play((6, 4, 5), (0, 0, 0))
    stamps = np.concatenate([0.1 * np.arange(n) for n in (6, 4, 5)])
    third, _ = read(logs.write_lerobot(tmp_path / "v3", plays, timestamp=stamps), tmp_path / "a")
    path = logs.write_lerobot(tmp_path / "v2", plays, timestamp=stamps)
    (whole,) = (path / "data/chunk-000").iterdir()
    found = pyarrow.parquet.read_table(whole)
    whole.unlink()
    for k in range(3):  # a file per episode, as v2.1 has them
        mine = pyarrow.compute.equal(found["episode_index"], k)
        file = path / f"data/chunk-000/episode_{k:06d}.parquet"
        pyarrow.parquet.write_table(found.filter(mine), file)
    second, _ = read(path, tmp_path / "b")
    for name in ("state", "action", "reward", "episode_start"):
        np.testing.assert_array_equal(getattr(second, name), getattr(third, name))
    np.testing.assert_allclose(np.load(second.path / "timestamp.npy")[:6], stamps[:6])


def test_an_episode_of_lerobot_may_lie_in_two_files(tmp_path):
    plays = logs.play((6, 4), (0, 0))
    path = logs.write_lerobot(tmp_path / "l", plays)
    (whole,) = (path / "data/chunk-000").iterdir()
    found = pyarrow.parquet.read_table(whole)
    pyarrow.parquet.write_table(found[:3], whole)
    pyarrow.parquet.write_table(found[3:], whole.with_name("file-001.parquet"))
    assert read(path, tmp_path / "out")[0].lengths.tolist() == [5, 3]


def test_a_semicolon_and_decimal_commas_are_told(tmp_path):
    given = rows()
    plain, _ = read(write_csv(tmp_path, given), tmp_path / "plain")
    path = write_csv(tmp_path, given, delimiter=";")
    (path / "log.csv").write_text((path / "log.csv").read_text().replace(".", ","))
    data, _ = read(path, tmp_path / "out")
    np.testing.assert_array_equal(data.state, plain.state)


def test_columns_are_drafted_and_the_draft_is_read(tmp_path, capsys):
    given = rows()
    path = write_csv(tmp_path, given)
    plain, _ = read(path, tmp_path / "plain")
    (path / "columns.toml").unlink()
    assert cli.main(["data", "import", str(path), "--out", str(tmp_path / "out")]) == 2
    assert f"moma data columns {path}" in capsys.readouterr().err
    assert cli.main(["data", "columns", str(path)]) == 0
    assert "# not used: crashed" in capsys.readouterr().out
    data, _ = read(path, tmp_path / "out")
    np.testing.assert_array_equal(data.state, plain.state)
    assert data.spec.state_names == ("x", "y")
    assert cli.main(["data", "columns", str(path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert cli.main(["data", "check", str(path / "log.csv")]) == 2
    assert f"moma data import {path / 'log.csv'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"[agents.a]": "[agents.a]\nnothing = 1"}, "nothing"),
        ({'["u"]': '["u", "v"]'}, "has no column v"),
        ({'reward = ["reward"]': "reward = []"}, "a column of rewards"),
        ({'"run"': '"run'}, "columns.toml"),
        ({'["u"]': '["crash"]'}, "has no column crash; there are: run, t, x"),
    ],
)
def test_columns_that_cannot_be_are_refused(tmp_path, change, words):
    path = write_csv(tmp_path, rows())
    text = (path / "columns.toml").read_text()
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    (path / "columns.toml").write_text(text)
    with pytest.raises(ImportDataError, match=words):
        read(path, tmp_path / "out")


def test_a_cell_that_is_no_number_is_named(tmp_path):
    path = write_csv(tmp_path, rows())
    lines = (path / "log.csv").read_text().splitlines()
    lines[40] = lines[40].replace("run", "run").rsplit(",", 5)[0] + ",oops,0.5,0.1,0.2,False"
    (path / "log.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(ImportDataError, match=r"log.csv cannot be read.*oops"):
        read(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no CSV file: Empty CSV file"),
        ("run,t,x,y,u,reward,crashed\n", "has no rows"),
        ("run,t,x,x,u,reward,crashed\n1,0,1,1,1,1,0\n", "has several columns x: rename them"),
        ("run,t,x,y,u,reward,crashed\n1,2\n", "Expected 7 columns, got 2"),
    ],
)
def test_a_table_that_is_none_is_refused_in_import_and_draft(tmp_path, capsys, text, words):
    path = write_csv(tmp_path, rows())
    (path / "log.csv").write_text(text)
    with pytest.raises(ImportDataError, match=words):
        read(path, tmp_path / "out")
    (path / "columns.toml").unlink()
    assert cli.main(["data", "columns", str(path)]) == 2
    assert words in capsys.readouterr().err
