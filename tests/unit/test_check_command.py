"""`moma data check`: its table, its JSON and its exit status."""

import json

import numpy as np
import pytest

from moma.cli import main as cli
from tests.unit.spoilt import copy_of, put


@pytest.fixture
def log(dataset, tmp_path):
    return copy_of(dataset, tmp_path / "log")


def test_a_sound_log_is_usable(log, capsys):
    assert cli.main(["data", "check", str(log)]) == 0
    said = capsys.readouterr().out
    assert "task lopsided, 16 episodes" in said
    assert "0 errors, 0 warnings, 0 notes: usable" in said


def test_errors_are_told_with_rows_and_status_one(log, capsys, tmp_path):
    put(log, "state", ([3, 4], 1), np.nan)
    put(log, "state", (slice(None), 4), 1.0)
    out = tmp_path / "findings.json"
    assert cli.main(["data", "check", str(log), "--json", str(out)]) == 1
    said = capsys.readouterr().out
    assert "error            2 values  state: NaN in b\n" in said
    assert "first rows of state.npy: 3, 4\n" in said
    assert "1 error, 0 warnings, 1 note: not usable" in said
    report = json.loads(out.read_text())
    assert (report["usable"], report["episodes"]) == (False, 16)
    assert report["findings"][0]["rows"] == [3, 4]
    assert report["findings"][1]["what"] == "state: constant: goal = 1"


def test_warnings_alone_leave_a_log_usable(log, capsys):
    put(log, "state", (slice(None), 4), 0.0)
    assert cli.main(["data", "check", str(log)]) == 0
    assert "1 warning, 0 notes: usable" in capsys.readouterr().out


def test_what_cannot_be_read_is_status_two(log, capsys):
    (log / "timestamp.npy").write_bytes(b"no array")
    assert cli.main(["data", "check", str(log)]) == 2
    assert "timestamp.npy is no plain .npy array" in capsys.readouterr().err
    (log / "reward.npy").write_bytes(b"no array")
    assert cli.main(["data", "check", str(log)]) == 2
    assert "reward.npy is no plain .npy array" in capsys.readouterr().err
    assert cli.main(["data", "check", str(log / "nowhere")]) == 2
    assert "is this a dataset?" in capsys.readouterr().err
