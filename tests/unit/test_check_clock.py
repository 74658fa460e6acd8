"""`moma data check` on time stamps."""

import numpy as np
import pytest

from tests.builders import write_dataset
from tests.unit.spoilt import none, only


@pytest.fixture
def log(tmp_path):
    return write_dataset(tmp_path / "log", episodes=30)


def stamps(log, jitter=0.0):
    """A clock of 20 ms that jumps between episodes."""
    start = log.episode_start + np.arange(log.episodes)
    rows = log.transitions + log.episodes
    step = 0.02 * (1 + jitter * np.random.default_rng(0).uniform(-1, 1, rows))
    step[start] = 1000.0
    return np.cumsum(step)


def save(log, stamp):
    np.save(log.path / "timestamp.npy", stamp)
    return log.path


def middle(log):
    """Rows of states that are neither the first nor the last of an episode of three or more."""
    lengths = np.diff(log.episode_start, append=log.transitions)
    return (log.episode_start + np.arange(log.episodes) + 1)[lengths >= 3]


def test_a_steady_clock_is_noted_with_its_step(log):
    finding = only(save(log, stamps(log, jitter=0.05)), "steps take 0.02")
    assert (finding.severity, finding.count, finding.rows) == ("note", 0, ())
    assert none(log.path, "gaps")
    assert none(log.path, "stands still")


def test_jitter_is_warned_of(log):
    finding = only(save(log, stamps(log, jitter=0.5)), "are off by more than 20%")
    assert finding.severity == "warning"
    assert 0.4 < finding.count / log.transitions < 0.8
    assert none(log.path, "gaps")


@pytest.mark.parametrize("size", [1 << 22, 56])
def test_gaps_and_a_clock_that_goes_back_are_found_in_their_rows(log, size, monkeypatch):
    monkeypatch.setattr("moma.log_tools.blocks.PIECE", size)
    stamp, rows = stamps(log), middle(log)[[0, 3]]
    stamp[rows[0] :] += 0.1
    stamp[rows[1]] -= 0.03
    gap = only(save(log, stamp), "gaps")
    assert (gap.severity, gap.rows[0]) == ("warning", rows[0])
    assert gap.count == 2  # the step after the one that went back is long
    back = only(log.path, "goes back")
    assert (back.severity, back.count, back.rows) == ("error", 1, (rows[1],))


def test_a_clock_of_another_kind_is_an_error(log):
    save(log, stamps(log).astype(np.float32))
    assert only(log.path, "timestamp: float32").severity == "error"
    save(log, stamps(log)[:-1])
    assert only(log.path, "timestamp: float64 of shape").severity == "error"


def test_a_value_that_is_no_time_is_an_error(log):
    stamp, row = stamps(log), middle(log)[0]
    stamp[row] = np.nan
    finding = only(save(log, stamp), "not a number")
    assert (finding.count, finding.rows) == (2, (row, row + 1))
