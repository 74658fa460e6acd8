"""A run films its team at the end, or says why not and goes on."""

from __future__ import annotations

from ctypes.util import find_library

import pytest
from PIL import Image

QUICK = ("--algorithm", "bc", "--bc.rounds", "1", "--bc.updates", "5", "--in-process")
DRAWN = pytest.mark.skipif(
    not (find_library("EGL") or find_library("OSMesa")),
    reason="neither EGL nor OSMesa: apt-get install libosmesa6",
)


@DRAWN
def test_a_run_ends_with_a_film_of_its_team(moma, tmp_path):
    trained = moma("train", "reacher-tiny", "--run-dir", "run", "--eval.film", *QUICK)
    assert trained.wait(120) == 0, trained.err
    assert "no video" not in trained.err
    with Image.open(tmp_path / "run" / "team.gif") as film:
        assert film.n_frames == 51  # the start and 50 steps
        film.seek(0)
        first = film.convert("RGB")
        film.seek(50)
        assert first.tobytes() != film.convert("RGB").tobytes()  # the arm has moved


def test_a_run_that_cannot_be_drawn_says_so_in_a_line_and_ends_well(moma, tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    trained = moma("train", "reacher-tiny", "--run-dir", "run", "--eval.film", *QUICK)
    assert trained.wait(120) == 0, trained.err
    [line] = [line for line in trained.err.splitlines() if "video" in line]
    assert line.startswith("no video of the team was made: what draws (MUJOCO_GL=disable) fails: ")
    assert not (tmp_path / "run" / "team.gif").exists()
    assert (tmp_path / "run" / "result.json").is_file()
