"""A model sees the age where what comes next depends on it, and only there."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model_server.world_model import clock, files
from model_server.world_model.fit import fit
from moma_core import seeds
from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.datasets.holdout import split
from moma_core.types import Query
from tests.builders import SPEC, make_config, random_action, step_system, write_dataset

CONFIG = replace(make_config().model, width=32, updates=200, evaluate_every=50, learning_rate=1e-2)
LATE = 5


def paying(path, *, late, shown=False, episodes=120):
    """The lopsided system, paying for feature a in the last steps alone, or in all of them."""
    random = np.random.default_rng(0)
    with EpisodeWriter(SPEC, path, {"maker": "tests"}) as writer:
        for _ in range(episodes):
            states, actions = [random.normal(0, 0.5, 5).astype(np.float32)], []
            for _ in range(SPEC.episode_limit):
                actions.append(random_action(random))
                states.append(step_system(states[-1], actions[-1])[0])
            states = np.stack(states)
            if shown:
                states[:, 4] = np.arange(len(states)) / 10
            pays = np.arange(SPEC.episode_limit) >= (LATE if late else 0)
            reward = ((1 + states[:-1, 0]) * pays).astype(np.float32)
            writer.add(states, np.stack(actions), reward, terminated=False)
    return Dataset.load(path)


@pytest.mark.parametrize(
    ("late", "shown", "seen"),
    [(True, False, "always"), (False, False, "never"), (True, True, "always")],
)
def test_the_age_is_seen_where_it_counts_also_where_a_feature_shows_it(tmp_path, late, shown, seen):
    log = paying(tmp_path / "log", late=late, shown=shown)
    fitted = fit(log, CONFIG, 0, lambda _: None)
    assert fitted.ensemble.config.clock == seen
    plain = fit(log, replace(CONFIG, clock="never"), 0, lambda _: None)
    train, _ = split(log, CONFIG.holdout, CONFIG.holdout_by, 0)
    rows = clock.sample(log, train, 0)
    of_rest, of_all = clock.explained(plain.ensemble, rows, plain.holdout)
    # A feature that shows the time helps nobody who has not learned to read it.
    assert bool(of_rest[-1] > 0.5) is late
    assert (of_all[:4] < 0.005).all()
    if seen == "always":
        better = fitted.scores[list(fitted.elites)].mean()
        assert better < plain.scores[list(plain.elites)].mean() - 0.1


def test_a_loaded_model_with_a_clock_pays_when_it_is_time(tmp_path):
    log = paying(tmp_path / "log", late=True)
    made = files.save(fit(log, CONFIG, 0, lambda _: None), log, 0, tmp_path / "model")
    loaded = files.load(tmp_path / "model")
    rows = log.rows(np.full(SPEC.episode_limit, 3))
    query = Query(
        state=rows.state, action=rows.action, age=torch.arange(SPEC.episode_limit),
        seed=seeds.rows(0, SPEC.episode_limit),
    )  # fmt: skip
    paid = loaded.predict(query).reward
    assert (paid[:LATE].abs() < 0.3).all()
    assert (paid[LATE:] - 1 - rows.state[LATE:, 0]).abs().max() < 0.3
    assert torch.equal(paid, made.predict(query).reward)
    assert loaded.ensemble.units.width == SPEC.state_width + 4 + 1 + SPEC.episode_limit


def test_rows_know_how_old_their_episodes_are(tmp_path):
    dataset = write_dataset(tmp_path / "log")
    rows = dataset.rows(np.arange(dataset.transitions))
    assert rows.age.tolist() == [step for length in dataset.lengths for step in range(length)]
