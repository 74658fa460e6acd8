"""A run films its team at the end, or says why not and goes on; `moma film` does it later."""

from __future__ import annotations

from ctypes.util import find_library

import pytest
from PIL import Image

QUICK = ("--algorithm", "bc", "--bc.rounds", "1", "--bc.updates", "5", "--in-process")
FAILED = "no video of the team was made: what draws (MUJOCO_GL=disable) fails: "


@pytest.fixture
def undrawn(moma, tmp_path, monkeypatch):
    """A run where nothing draws: it says so in a line, and ends well."""
    with monkeypatch.context() as here:
        here.setenv("MUJOCO_GL", "disable")
        trained = moma("train", "reacher-tiny", "--run-dir", "run", "--eval.film", *QUICK)
        assert trained.wait(120) == 0, trained.err
    [line] = [line for line in trained.err.splitlines() if "video" in line]
    assert line.startswith(FAILED)
    assert (tmp_path / "run" / "result.json").is_file()
    assert not (tmp_path / "run" / "team.gif").exists()
    return tmp_path / "run"


@pytest.mark.skipif(
    not (find_library("EGL") or find_library("OSMesa")),
    reason="neither EGL nor OSMesa to draw with: apt-get install libosmesa6",
)
def test_a_run_goes_on_without_a_film_and_its_team_is_filmed_later_without_a_display(
    undrawn, moma, monkeypatch
):
    monkeypatch.delenv("DISPLAY", raising=False)
    filmed = moma("film", undrawn)
    assert filmed.wait(120) == 0, filmed.err
    with Image.open(undrawn / "team.gif") as film:
        assert film.n_frames > 40  # the start and 50 steps; what does not change is one picture
        film.seek(0)
        first = film.convert("RGB")
        film.seek(40)
        assert first.tobytes() != film.convert("RGB").tobytes()  # the arm has moved
