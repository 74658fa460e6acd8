"""What scores of several runs come to, against scipy's and against values worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from moma.studies import statistics


@pytest.fixture
def scores():
    """Runs of three tasks, not alike in number."""
    random = np.random.default_rng(0)
    return [random.normal(size=count) for count in (5, 7, 4)]


def test_the_interquartile_mean_is_scipys_trimmed_mean(scores):
    expected = stats.trim_mean(np.concatenate(scores), 0.25)
    assert statistics.iqm(scores) == pytest.approx(expected, rel=1e-12)
    # By hand: of 0 to 7 the outer quarters are 0, 1, 6 and 7. One wild run changes nothing.
    assert statistics.iqm([np.arange(8.0)]) == 3.5
    assert statistics.iqm([np.append(np.arange(7.0), 1e9)]) == 3.5


def test_the_mean_counts_tasks_alike():
    assert statistics.mean([np.array([0.0, 0.0, 0.0]), np.array([1.0])]) == 0.5


def test_an_interval_of_one_task_is_scipys_bootstrap(scores):
    low, high = statistics.interval(scores[:1], statistics.mean)
    found = stats.bootstrap(
        (scores[0],), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (low, high) == pytest.approx((found.low, found.high), abs=0.08)
    assert low < scores[0].mean() < high


def test_runs_are_drawn_within_their_task():
    # Two tasks whose runs do not differ: however they are drawn, nothing changes.
    apart = [np.zeros(5), np.ones(5)]
    assert statistics.interval(apart, statistics.mean) == (0.5, 0.5)
    # Negative control: as runs of one task they would.
    low, high = statistics.interval([np.concatenate(apart)], statistics.mean)
    assert low < 0.5 < high


def test_a_single_run_has_no_interval():
    assert statistics.interval([np.array([1.0]), np.array([1.0, 2.0])], statistics.mean) is None


def test_the_probability_of_improvement_is_mann_and_whitneys(scores):
    other = [runs[::-1] * 0.5 for runs in scores]
    expected = [
        stats.mannwhitneyu(mine, theirs).statistic / (len(mine) * len(theirs))
        for mine, theirs in zip(scores, other, strict=True)
    ]
    assert statistics.improvement(scores, other) == pytest.approx(np.mean(expected), rel=1e-12)
    # By hand: 2 beats 1, ties with 2 (a half), and loses to 3.
    assert statistics.improvement([np.array([2.0])], [np.array([1.0, 2.0, 3.0])]) == 0.5
    assert statistics.improvement(scores, scores) == pytest.approx(0.5)


def test_its_interval_holds_it(scores):
    other = [runs + 1.0 for runs in scores]
    low, high = statistics.improvement_interval(scores, other)
    assert 0 <= low <= statistics.improvement(scores, other) <= high < 0.5


def test_a_profile_is_the_share_of_runs_above_each_score():
    found = statistics.profile([np.array([0.1, 0.9]), np.array([0.5])], np.array([0.0, 0.5, 0.9]))
    assert found.tolist() == [1.0, 0.25, 0.0]
