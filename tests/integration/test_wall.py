"""A run in TensorBoard: charts have numbers; a picture hangs once, what comes later is added."""

from __future__ import annotations

import re
import shutil

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from moma.evaluation.film import animated
from moma.reports.run.wall import Wall
from moma_core.runtime.metrics import LAYOUT
from moma_core.runtime.run import RunDirectory
from tests.integration import tags
from tests.integration.test_film import Counted

DRAWN = {
    "data/actions", "data/episodes", "data/features",
    "model/calibration", "model/error_along_episodes",
}  # fmt: skip


def hung(place):
    """How often each picture hangs there."""
    events = EventAccumulator(str(place), size_guidance={"images": 0})
    events.Reload()
    return {tag: len(events.Images(tag)) for tag in events.Tags()["images"]}


def test_pictures_hang_once_and_a_film_that_comes_later_is_added(run, tmp_path):
    own = RunDirectory(shutil.copytree(run.path, tmp_path / "run"))
    before = sorted(own.path.rglob("*"))
    wall = Wall(own, tmp_path / "wall")
    assert wall.refresh() == ""
    assert hung(tmp_path / "wall") == dict.fromkeys(DRAWN, 1)
    assert sorted(own.path.rglob("*")) == before
    film = Counted()
    film.reset(0)
    own.film.write_bytes(animated([film.frame()]))
    assert wall.refresh() == ""
    wall.refresh()
    assert hung(tmp_path / "wall") == dict.fromkeys({*DRAWN, "team/film"}, 1)


def test_a_log_that_is_gone_is_told_once(run, tmp_path):
    own = RunDirectory(shutil.copytree(run.path, tmp_path / "run"))
    shutil.rmtree(own.data)
    wall = Wall(own, tmp_path / "wall")
    assert "does not hold the run's log any more" in wall.refresh()
    assert set(hung(tmp_path / "wall")) == {tag for tag in DRAWN if tag.startswith("model/")}
    assert wall.refresh() == ""


def test_every_chart_of_the_layout_has_tags_that_are_written(root):
    known = tags.documented((root / "docs" / "metrics.md").read_text(encoding="utf-8"))
    for charts in LAYOUT.values():
        for patterns in charts.values():
            for pattern in patterns:
                assert any(re.fullmatch(pattern, tag) for tag in known), pattern
