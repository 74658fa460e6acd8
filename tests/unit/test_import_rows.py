"""Flat logs are cut into episodes the same way, however they come in pieces."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moma.log_tools.importing import limits
from moma.log_tools.importing.log import ImportDataError
from moma.log_tools.importing.rows import Rows, episodes
from moma.log_tools.importing.survey import refine


def make(ends, *, terminated=None, reward=None, number=None, following=None):
    """Rows whose one feature counts them."""
    count = len(ends)
    return Rows(
        features=np.arange(count, dtype=np.float32)[:, None],
        action=np.arange(count, dtype=np.float32)[:, None] + 0.5,
        reward=np.ones((count, 1), np.float32) if reward is None else np.float32(reward)[:, None],
        terminated=np.array(terminated or [0] * count, np.bool_)[:, None],
        ends=np.array(ends, np.bool_)[:, None],
        number=None if number is None else np.array(number, np.int64),
        following=None if following is None else np.float32(following)[:, None],
    )


def cut(*parts):
    return [(e.features[:, 0].tolist(), e.terminated) for e in episodes(parts, "log")]


def test_the_last_row_of_an_episode_gives_a_state_and_no_step():
    first, second = episodes([make([0, 0, 1, 0, 0])], "log")
    assert first.features[:, 0].tolist() == [0, 1, 2]
    assert first.action[:, 0].tolist() == [0.5, 1.5]
    assert second.features[:, 0].tolist() == [3, 4]
    assert (first.row, second.row) == (0, 3)
    assert first.dropped.tolist() == second.dropped.tolist() == [[1]]


def test_a_last_row_without_reward_was_no_step():
    (one,) = episodes([make([0, 0, 1], terminated=[0, 0, 1], reward=[1, 2, np.nan])], "log")
    assert one.reward[:, 0].tolist() == [1, 2]
    assert one.dropped is None
    assert one.terminated


def test_with_the_state_after_each_step_every_step_is_kept():
    whole = make([0, 0, 1, 0, 1], following=[1, 2, 30, 4, 50], terminated=[0, 0, 1, 0, 0])
    assert cut(whole) == [([0, 1, 2, 30], True), ([3, 4, 50], False)]


def test_an_episode_ends_where_the_next_row_does_not_follow():
    assert cut(make([0] * 4, following=[1, 99, 3, 4])) == [([0, 1, 99], False), ([2, 3, 4], False)]
    nearly = [1 + 1e-7, 2, 3, 4]
    assert cut(make([0] * 4, following=nearly)) == [([0, 1, 2, 3, 4], False)]


def test_an_episode_begins_with_a_new_number():
    assert cut(make([0] * 5, number=[7, 7, 8, 8, 8])) == [([0, 1], False), ([2, 3, 4], False)]


@settings(max_examples=50)
@given(
    ends=st.lists(st.booleans(), min_size=2, max_size=30),
    at=st.lists(st.integers(1, 29), max_size=6),
    jumps=st.sets(st.integers(0, 29)),
    follows=st.booleans(),
)
def test_pieces_do_not_matter(ends, at, jumps, follows):
    after = [i + 1 + (100 if i in jumps else 0) for i in range(len(ends))]
    numbers = np.cumsum([i in jumps for i in range(len(ends))])
    whole = make(ends, following=after) if follows else make(ends, number=numbers)
    edges = sorted({0, len(ends), *(i for i in at if i < len(ends))})
    pieces = [whole.cut(a, b) for a, b in pairwise(edges)]
    assert cut(*pieces) == cut(whole)
    starts = [features[0] for features, _ in cut(whole)]
    broken = [i + 1 for i in range(len(ends) - 1) if ends[i] or (follows and i in jumps)]
    if follows:
        assert starts == [0, *broken]


def test_an_episode_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "EPISODE_BYTES", 64)
    endless = [make([0] * 10), make([0] * 10)]
    with pytest.raises(ImportDataError, match="log: no episode ends in rows 0 to 20"):
        list(episodes(endless, "log"))
    assert len(cut(make([0] * 9 + [1]), make([0] * 9 + [1]))) == 2


@settings(max_examples=50)
@given(
    groups=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    chunks=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_equal_columns_are_found_and_others_are_not(groups, chunks, seed):
    random = np.random.default_rng(seed)
    sources = random.normal(size=(12, 4)).astype(np.float32)
    sources[:-1, 3] = sources[:-1, 2]  # these two differ in the very last row alone
    rows = sources[:, groups]
    twin = np.zeros(len(groups), np.int64)
    for part in np.array_split(rows, chunks):
        refine(twin, part, 0.0)
    assert twin.tolist() == [groups.index(group) for group in groups]


def test_columns_within_the_tolerance_are_one():
    rows = np.array([[1, 1 + 1e-5, 1.1], [5, 5, 5]], np.float32)
    for tolerance, found in ((1e-4, [0, 0, 2]), (0.0, [0, 1, 2])):
        twin = np.zeros(3, np.int64)
        refine(twin, rows, tolerance)
        assert twin.tolist() == found


def test_a_column_of_nan_is_its_own():
    twin = np.zeros(2, np.int64)
    refine(twin, np.array([[1, np.nan]], np.float32), 0.0)
    assert twin.tolist() == [0, 1]


def test_slices_are_of_bounded_size_and_cover_all_rows():
    for rows, width in ((0, 3), (10, 3), (100_000, 3), (70, 1 << 20)):
        parts = list(limits.slices(rows, width))
        assert [i for part in parts for i in range(part.start, part.stop)] == list(range(rows))
        assert all((part.stop - part.start) * width * 4 <= 1 << 25 for part in parts)
