"""`moma data import` and `export` as a user calls them; memory is looked at from outside."""

from __future__ import annotations

import pickle
import subprocess
import sys

import h5py
import numpy as np

from moma.cli import main as cli
from moma_core import tasks
from moma_core.datasets import Dataset
from tests import logs
from tests.logs import play

ROWS, WIDTH = 2_500_000, 64
"""640 MB of observations that take no room on the disk: their chunks were never written."""
MEMORY = 500 << 20
# Not `ru_maxrss`: across fork and exec that begins at what the parent, here pytest, had resident.
_MEASURED = """
import pathlib, sys
from moma.cli import main as cli
status = cli.main(sys.argv[1:])
lines = pathlib.Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")))
sys.exit(status)
"""
_BARE = """
import sys
sys.modules.update(h5py=None, pyarrow=None, tensorstore=None)
from moma.cli import main as cli
path, data, out = sys.argv[1:]
for kind in ([], ["--format", "minari"], ["--format", "parquet"], ["--format", "og-marl"]):
    print(cli.main(["data", "import", path, *kind, "--out", out]))
print(cli.main(["data", "export", data, "--format", "npz", "--out", out]))
"""


def moma(*words):
    return cli.main(["data", *map(str, words)])


def test_a_log_is_imported_and_described(tmp_path, capsys):
    path = logs.write_vault(tmp_path / "Good", play())
    assert moma("import", path, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"og-marl {path} is now the dataset {tmp_path / 'out'}"
    assert "  episodes     4: 2 terminated, 2 truncated, at most 5 steps" in said
    assert "  transitions  13" in said
    assert "  joint state  5 features" in said
    assert "  agent        agent_1: observation 2, action 1" in said
    assert "  note         1 action columns of padding (always 0) dropped" in said
    data = Dataset.load(tmp_path / "out")
    assert data.spec.name == "out"
    assert data.origin["imported_from"] == "Good"
    assert [line[15:] for line in said if "note" in line] == data.origin["notes"]


def test_a_task_splits_d4rl_ant_and_cuts_its_contact_forces(tmp_path, capsys):
    random = np.random.default_rng(0)
    seen, action = random.normal(size=(13, 111)), random.uniform(-1, 1, (13, 8))
    change = {"observations": seen, "next_observations": None, "actions": action}
    path = logs.write_d4rl(tmp_path / "ant.hdf5", play(), **change)
    assert moma("import", path, "--task", "ant-partial", "--out", tmp_path / "out") == 0
    assert "the first 27 of 111 columns are its state" in capsys.readouterr().out
    data, task = Dataset.load(tmp_path / "out"), tasks.get("ant-partial")
    assert data.spec == task.spec
    np.testing.assert_array_equal(data.state[:3], seen[:3, :27].astype(np.float32))
    for agent, own in enumerate(task.split):
        np.testing.assert_array_equal(data.action[:2, agent], action[:2, own].astype(np.float32))


def test_what_was_exported_is_imported(tmp_path, capsys):
    path = logs.write_d4rl(tmp_path / "d.hdf5", play())
    moma("import", path, "--out", tmp_path / "first")
    for kind in ("npz", "parquet"):
        file = tmp_path / f"log.{kind}"
        assert moma("export", tmp_path / "first", "--format", kind, "--out", file) == 0
        assert f"{file}: 4 episodes, 13 transitions" in capsys.readouterr().out
        assert moma("import", file, "--out", tmp_path / kind) == 0
        first, back = Dataset.load(tmp_path / "first"), Dataset.load(tmp_path / kind)
        np.testing.assert_array_equal(back.state, first.state)
        assert back.spec.action_low == first.spec.action_low


def test_a_pickle_is_read_only_when_it_is_named_and_says_how(tmp_path, capsys):
    rows = logs.flat(play())
    names = {"state": "observations", "action": "actions", "reward": "rewards"}
    arrays = {names.get(k, f"{k}s"): v for k, v in rows.items() if k != "next"}
    path = tmp_path / "dataset.pkl"
    path.write_bytes(pickle.dumps(arrays))
    assert moma("import", path, "--out", tmp_path / "out") == 2
    assert "say --format" in capsys.readouterr().err
    assert moma("import", path, "--out", tmp_path / "out", "--format", "moma-ppo-pickle") == 0
    assert "reading a pickle, restricted" in capsys.readouterr().err
    assert Dataset.load(tmp_path / "out").transitions == 9


def test_a_missing_library_is_one_line(tmp_path):
    path = logs.write_d4rl(tmp_path / "d.hdf5", play())
    moma("import", path, "--out", tmp_path / "data")
    done = subprocess.run(
        [sys.executable, "-c", _BARE, str(path), str(tmp_path / "data"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.split() == ["2"] * 5
    needs = ("h5py", "h5py", "pyarrow", "tensorstore", "pyarrow")
    for line, library in zip(done.stderr.splitlines(), needs, strict=True):
        assert line.startswith("error: ")
        assert line.endswith(f'needs {library}: pip install "moma-ppo[data]"')


def test_a_refused_log_leaves_nothing(tmp_path, capsys):
    bad = logs.write_d4rl(tmp_path / "bad.hdf5", play(), rewards=np.full(13, np.nan))
    assert moma("import", bad, "--out", tmp_path / "out") == 2
    assert "bad.hdf5: reward, column 0, is nan at row 0" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["bad.hdf5"]


def test_what_lies_there_is_not_replaced(tmp_path, capsys):
    (tmp_path / "home").mkdir()
    path = logs.write_d4rl(tmp_path / "home" / "d.hdf5", play())
    assert moma("import", path, "--out", tmp_path / "home") == 2
    assert "home exists already; give another --out" in capsys.readouterr().err
    assert moma("import", path, "--out", tmp_path / "data") == 0
    assert moma("export", tmp_path / "data", "--format", "npz", "--out", path) == 2
    assert "d.hdf5 exists already; give another --out" in capsys.readouterr().err
    assert h5py.is_hdf5(path)


def test_a_log_larger_than_the_memory_it_may_take_is_imported(tmp_path):
    path = tmp_path / "sparse.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("observations", (ROWS, WIDTH), np.float32, chunks=(4096, WIDTH))
        file.create_dataset("actions", (ROWS, 2), np.float32, chunks=(4096, 2))
        file.create_dataset("rewards", (ROWS,), np.float32, chunks=(4096,))
        file.create_dataset("terminals", (ROWS,), np.bool_, chunks=(4096,))
        file["timeouts"] = np.arange(ROWS) % 1000 == 999
    assert path.stat().st_size < 10 << 20
    assert ROWS * WIDTH * 4 > MEMORY  # read as a whole, it would be seen
    words = ("data", "import", path, "--out", tmp_path / "out")
    command = [sys.executable, "-c", _MEASURED, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=280)
    lines = done.stdout.splitlines()
    assert "  transitions  2497500" in lines
    assert int(lines[-1]) < MEMORY
