"""`moma data check` on values: every fault at once, with counts and rows."""

import numpy as np
import pytest

from moma_core.datasets import Dataset, DatasetError
from tests.builders import SPEC, write_dataset
from tests.unit.spoilt import copy_of, found, none, only, put


@pytest.fixture
def log(dataset, tmp_path):
    return copy_of(dataset, tmp_path / "log")


def test_a_sound_log_has_no_finding(dataset):
    assert found(dataset.path) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["state", "action", "reward"])
def test_values_that_are_not_finite_are_counted_with_their_rows(log, name, value):
    kind = {"nan": "NaN", "inf": "+inf", "-inf": "-inf"}[str(value)]
    put(log, name, ([3, 9],) if name == "reward" else ([3, 9], 0), value)
    values = 2 * (2 if name == "action" else 1)
    finding = only(log, f"{name}: {kind}")
    assert (finding.severity, finding.count, finding.rows) == ("error", values, (3, 9))
    assert finding.file == f"{name}.npy"
    others = {"NaN", "+inf", "-inf"} - {kind}
    assert all(none(log, f"{name}: {other}") for other in others)


def test_every_fault_is_reported_and_not_the_first_alone(log):
    put(log, "state", (5, 1), np.nan)
    put(log, "action", (7, 0, 1), 1.5)
    put(log, "terminated", 0, True)
    errors = [finding for finding in found(log) if finding.severity == "error"]
    assert len(errors) == 3
    assert only(log, "state: NaN in b").rows == (5,)
    assert only(log, "action of wide, dimension 1: not in [-1, 1]").rows == (7,)
    assert "row 0" in only(log, "terminated.npy").what


def test_the_first_five_rows_are_named_and_all_are_counted(log):
    put(log, "state", (slice(10, 30), 2), np.nan)
    finding = only(log, "NaN in c")
    assert (finding.count, finding.rows) == (20, (10, 11, 12, 13, 14))


def test_a_log_of_many_pieces_is_counted_whole(log, monkeypatch):
    rows = Dataset.load(log).state.shape[0]
    monkeypatch.setattr("moma.log_tools.blocks.PIECE", 7 * 4 * SPEC.state_width)
    put(log, "state", ([0, 8, rows - 1], 2), np.nan)
    finding = only(log, "NaN in c")
    assert (finding.count, finding.rows) == (3, (0, 8, rows - 1))


def test_constant_features_are_told_from_zero_ones(log):
    put(log, "state", (slice(None), 1), 0.0)
    put(log, "state", (slice(None), 3), 2.5)
    zero, constant = only(log, "always 0"), only(log, "constant")
    assert (zero.severity, zero.what) == ("warning", "state: always 0: b")
    assert (constant.severity, constant.what) == ("note", "state: constant: d = 2.5")


def test_an_action_in_the_padding_is_an_error(log):
    put(log, "action", (2, 1, 1), 0.25)
    finding = only(log, "action of narrow, dimension 1: not in 0")
    assert (finding.count, finding.rows) == (1, (2,))


def test_rounding_at_a_bound_is_no_fault(log):
    put(log, "action", (2, 0, 0), 1.000001)
    assert none(log, "not in")


@pytest.mark.parametrize(("share", "severity"), [(0.05, None), (0.2, "note"), (0.7, "warning")])
def test_saturation_is_a_share_at_a_bound(tmp_path, share, severity):
    log = write_dataset(tmp_path / "log", episodes=60).path
    rows = np.arange(0, len(np.load(log / "reward.npy")))
    put(log, "action", (rows[rows % 100 < 100 * share], 1, 0), 2.0)
    if severity is None:
        assert none(log, "at a bound")
    else:
        finding = only(log, "action of narrow, dimension 0: at a bound")
        assert (finding.severity, finding.rows) == (severity, (0, 1, 2, 3, 4))
        assert finding.count / len(rows) == pytest.approx(share, abs=0.05)


def test_arrays_that_do_not_fit_together_are_refused_and_all_are_named(log):
    np.save(log / "reward.npy", np.load(log / "reward.npy").astype(np.float64))
    np.save(log / "truncated.npy", np.load(log / "truncated.npy")[:-1])
    with pytest.raises(DatasetError, match=r"reward has dtype float64.*truncated has shape"):
        found(log)


def test_broken_boundaries_do_not_hide_what_is_in_the_rows(log):
    put(log, "episode_start", 0, 4)
    put(log, "state", (5, 1), np.nan)
    assert only(log, "episode_start[0] is 4").severity == "error"
    assert only(log, "NaN in b").rows == (5,)
