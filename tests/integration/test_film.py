"""The team on film: which pictures are taken, and what is said where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from moma.evaluation import film
from moma_core import tasks
from moma_core.tasks.pettingzoo import PettingZoo
from tests.integration import teams
from tests.integration.teams import SPREAD


class Counted:
    """An environment of five steps whose picture shows how often it was stepped."""

    draws = True

    def reset(self, _):
        self.steps = 0
        return torch.zeros(1, 1)

    def step(self, _):
        self.steps += 1
        return torch.zeros(1, 1), torch.zeros(1), torch.zeros(1, dtype=torch.bool)

    def frame(self):
        return np.full((40, 30, 3), 50 * self.steps, np.uint8)


def test_every_nth_step_is_a_picture_and_the_film_begins_again(tmp_path):
    filming = film._Filming(Counted(), 2)
    filming.reset(0)
    for _ in range(5):
        filming.step(torch.zeros(1, 1, 1))
    assert [int(frame[0, 0, 0]) for frame in filming.frames] == [0, 100, 200]
    (tmp_path / "team.gif").write_bytes(film.animated(filming.frames))
    with Image.open(tmp_path / "team.gif") as shown:
        assert (shown.n_frames, shown.size, shown.info["loop"]) == (3, (30, 40), 0)


@pytest.mark.parametrize("mode", [None, "rgb_array"])
def test_a_parallel_env_draws_if_it_was_made_to(mode):
    def make():
        env = teams.spread()
        env.render_mode = mode
        env.render = lambda: np.zeros((8, 8, 3))
        return env

    copies = PettingZoo(make, SPREAD, 1)
    if mode is None:
        with pytest.raises(ValueError, match="draws no picture of itself"):
            film._Filming(copies, 1)
        return
    filming = film._Filming(copies, 1)
    filming.reset(0)
    assert filming.frames[0].shape == (8, 8, 3)


def test_a_game_has_no_picture():
    with pytest.raises(ValueError, match="draws no picture of itself"):
        film._Filming(tasks.get("icg").copies(1), 1)


def test_without_a_library_that_draws_it_is_said_what_to_install(run, monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(film, "find_library", lambda _: None)
    why = film.attempt(run, run.config(), lambda: False)
    assert why.endswith("apt-get install libosmesa6")
