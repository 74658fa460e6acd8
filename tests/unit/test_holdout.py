"""Rows as runs against rows as lists; walks and draws that do not depend on memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model_server.world_model import batches
from model_server.world_model.codes import Codes
from model_server.world_model.fit import fit
from model_server.world_model.units import Units
from moma_core.datasets import holdout
from moma_core.datasets.holdout import Parts, Runs, held_episodes, split
from tests.builders import make_config

CONFIG = make_config().model


def listed(runs):
    return runs.at(np.arange(len(runs)))


def random_runs(seed):
    """Some rows of 60, as runs and listed; runs may be empty."""
    random = np.random.default_rng(seed)
    edges = np.sort(random.choice(61, size=12, replace=False))
    edges[3:5] = edges[3]
    begin, end = edges[0::2], edges[1::2]
    rows = [row for a, b in zip(begin, end, strict=True) for row in range(a, b)]
    return Runs.between(begin, end), np.array(rows)


@pytest.mark.parametrize("seed", range(8))
def test_runs_answer_as_a_list_of_rows_would(seed):
    runs, rows = random_runs(seed)
    assert len(runs) == len(rows)
    np.testing.assert_array_equal(listed(runs), rows)
    everywhere = np.arange(61)
    np.testing.assert_array_equal(runs.below(everywhere), np.searchsorted(rows, everywhere))
    np.testing.assert_array_equal(runs.contains(everywhere), np.isin(everywhere, rows))


@pytest.mark.parametrize("by", ["episode", "transition"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_whole_held_episodes_are_those_of_a_count_over_rows(dataset, by, share):
    _, held = split(dataset, share, by, 3)
    inside, counts = np.unique(dataset.episode_of(listed(held)), return_counts=True)
    lengths = np.diff(dataset.episode_start, append=dataset.transitions)
    slow = inside[counts == lengths[inside]]
    np.testing.assert_array_equal(held_episodes(dataset, held), slow)
    assert by == "transition" or len(slow) == round(share * dataset.episodes)


def test_a_walk_in_parts_is_the_whole_and_can_be_repeated(dataset, monkeypatch):
    train, _ = split(dataset, CONFIG.holdout, CONFIG.holdout_by, 0)
    whole = dataset.rows(listed(train))
    monkeypatch.setattr(holdout, "_PART", 7 * holdout.row_bytes(dataset.spec))
    parts = Parts(dataset=dataset, rows=train)
    for _ in range(2):
        found = list(parts)
        assert [len(part.reward) for part in found[:-1]] == [7] * (len(found) - 1)
        assert torch.equal(torch.cat([part.state for part in found]), whole.state)
        assert torch.equal(torch.cat([part.reward for part in found]), whole.reward)


def test_units_of_parts_are_those_of_the_whole(dataset, monkeypatch):
    train, _ = split(dataset, CONFIG.holdout, CONFIG.holdout_by, 0)
    units = [Units(5, 4, standardised=True) for _ in range(2)]
    units[0].fit([dataset.rows(listed(train))])
    monkeypatch.setattr(holdout, "_PART", 5 * holdout.row_bytes(dataset.spec))
    units[1].fit(Parts(dataset=dataset, rows=train))
    one, other = (dict(unit.named_buffers()) for unit in units)
    assert one["constant"].tolist() == other["constant"].tolist() == [False] * 4 + [True]
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-6, msg=name)
    assert not torch.equal(one["state_mean"], torch.zeros(5))


def test_a_feature_that_changes_in_one_part_only_is_not_constant(dataset):
    rows = [dataset.rows(np.array([row])) for row in range(6)]
    moved = replace(rows[4], next_state=rows[4].next_state + torch.tensor([0, 0, 0, 0, 1.0]))
    for parts, constant in ((rows, True), ([*rows[:4], moved, rows[5]], False)):
        units = Units(5, 4, standardised=True)
        units.fit(parts)
        assert bool(units.constant[4]) is constant


def test_what_is_drawn_does_not_depend_on_how_much_is_read_at_once(terminal_dataset, monkeypatch):
    def weights():
        fitted = fit(terminal_dataset, CONFIG, 0, lambda _: None)
        return torch.cat([p.flatten() for p in fitted.ensemble.parameters()])

    whole = weights()
    monkeypatch.setattr(batches, "_BLOCK", 1)
    assert torch.equal(weights(), whole)


def test_draws_are_uniform_over_the_rows_to_train_on_and_members_differ(dataset):
    train, held = split(dataset, 0.3, CONFIG.holdout_by, 0)
    rows = dataset.rows(np.arange(dataset.transitions))
    units = Units(5, 4, standardised=False)
    config = replace(CONFIG, updates=200, batch=50)
    seen, first = [], None
    for drawn in batches.draw(units, Codes.none(), dataset, train, config, 0):
        seen.append(drawn.inputs[..., :5].reshape(-1, 5))
        first = drawn if first is None else first
    row_of = {tuple(state.tolist()): row for row, state in enumerate(rows.state)}
    counts = np.bincount(
        [row_of[tuple(s)] for s in torch.cat(seen).tolist()], minlength=len(rows.state)
    )
    expected = 200 * 50 * 3 / len(train)
    assert not counts[listed(held)].any()
    assert (np.abs(counts[listed(train)] - expected) < 6 * expected**0.5).all()
    assert not torch.equal(first.inputs[0], first.inputs[1])


def test_the_rows_looked_at_are_a_sample_of_all_that_are_held_out(dataset, monkeypatch):
    everything = fit(dataset, replace(CONFIG, holdout=0.5), 0, lambda _: None)
    assert len(everything.holdout.reward) == len(everything.held)
    np.testing.assert_array_equal(
        everything.holdout.episode, dataset.episode_of(listed(everything.held))
    )
    monkeypatch.setattr("model_server.world_model.fit._HOLDOUT_ROWS", 9)
    few = fit(dataset, replace(CONFIG, holdout=0.5), 0, lambda _: None)
    assert len(few.holdout.reward) == 9
    assert (few.holdout.episode.diff() >= 0).all()
    assert few.holdout.episode[-1] > everything.holdout.episode[8], "not only the first ones"
