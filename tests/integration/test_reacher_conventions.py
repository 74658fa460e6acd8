"""The scripted Reacher log mixes two conventions; one half of it does not."""

from __future__ import annotations

import pytest

from moma.log_tools.conventions import looks
from moma.log_tools.summary import summarise
from moma_core import tasks
from moma_core.config import DataConfig
from moma_core.datasets import Dataset, EpisodeWriter

EPISODES = 200


def part(data, path, chosen):
    """Writes some of a log's episodes as a log of its own."""
    with EpisodeWriter(data.spec, path, {}) as writer:
        for number in chosen:
            writer.add(*data.episode(number), terminated=data.ended(number))
    return Dataset.load(path)


@pytest.fixture(scope="module", params=[0, 1])
def both(request, tmp_path_factory):
    """Twice as many episodes as are looked at: half of each convention."""
    path = tmp_path_factory.mktemp("reacher") / "data"
    config = DataConfig(episodes=2 * EPISODES)
    return tasks.get("reacher-leader").make_data(path, config, request.param)


def verdicts(data):
    return {look.rows.where: look.verdict for look in looks(data, summarise(data).scale)}


def test_the_mix_holds_several_conventions_at_the_first_step(both, tmp_path):
    mix = part(both, tmp_path / "mix", range(EPISODES // 2, 3 * EPISODES // 2))
    assert verdicts(mix) == {"first step": "several", "later step": "none"}


@pytest.mark.parametrize("begin", [0, EPISODES])
def test_one_elbow_is_one_convention(both, tmp_path, begin):
    one = part(both, tmp_path / "one", range(begin, begin + EPISODES))
    assert verdicts(one) == {"first step": "none", "later step": "none"}
