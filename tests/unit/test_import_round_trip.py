"""What is exported and imported again is what it was."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from moma.log_tools import export
from moma.log_tools.importing import convert, open_log
from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.types import TaskSpec
from tests.builders import SPEC, random_action

ARRAYS = ("state", "action", "reward", "terminated", "truncated", "episode_start")


def team(widths, *, discrete):
    """A team whose agents see a feature each and the last one."""
    count = len(widths)
    sides = [(0.0, 1.0) if chooses else (-1.5, 0.5) for chooses in discrete]
    return TaskSpec(
        name="out",
        agents=tuple(f"robot {i}/x" for i in range(count)),
        state_names=tuple(f"s{i}" for i in range(count + 1)),
        observation_index=tuple((count, i) for i in range(count)),
        action_low=tuple((low,) * n for n, (low, _) in zip(widths, sides, strict=True)),
        action_high=tuple((high,) * n for n, (_, high) in zip(widths, sides, strict=True)),
        episode_limit=7,
        discrete=discrete,
    )


def write(spec, path, lengths, seed):
    """Writes random episodes."""
    random = np.random.default_rng(seed)
    with EpisodeWriter(spec, path, {}) as writer:
        for steps in lengths:
            state = random.normal(size=(steps + 1, spec.state_width)).astype(np.float32)
            action = np.stack([random_action(random, spec) for _ in range(steps)])
            masked = np.where(spec.action_mask.numpy(), action + 1, 0)
            choice = (masked == masked.max(axis=2, keepdims=True)).astype(np.float32)
            action = np.where(spec.chooses.numpy()[:, None], choice, action)
            reward = random.normal(size=steps).astype(np.float32)
            writer.add(state, action, reward, terminated=bool(random.random() < 0.5))
    return Dataset.load(path)


@pytest.fixture(autouse=True)
def _few_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(export, "_ROWS", 4)


@pytest.mark.parametrize("kind", ["npz", "parquet"])
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    own=st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
@example(lengths=[3, 1], own=[(3, True), (2, False), (1, False)], seed=0)
def test_a_dataset_goes_out_and_comes_back(tmp_path, kind, lengths, own, seed):
    widths, discrete = zip(*own, strict=True)
    spec = team(widths, discrete=discrete)
    data = write(spec, tmp_path / "data", lengths, seed)
    getattr(export, kind)(data, tmp_path / "file")
    log = open_log(tmp_path / "file", kind)
    convert(log, tmp_path / "out", task=None, time_limit=None, tell=lambda *_: None)
    back = Dataset.load(tmp_path / "out")
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(back, name), getattr(data, name), err_msg=name)
    assert back.spec.episode_limit == max(lengths)
    for field in ("agents", "state_names", "observation_index", "action_low", "action_high"):
        assert getattr(back.spec, field) == getattr(spec, field)
    assert back.spec.discrete == discrete


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_a_change_on_the_way_would_be_seen(tmp_path, kind):
    data = write(SPEC, tmp_path / "data", [3, 2], 0)
    other = write(SPEC, tmp_path / "other", [3, 2], 1)
    getattr(export, kind)(other, tmp_path / "file")
    convert(
        open_log(tmp_path / "file", kind),
        tmp_path / "out",
        task=None,
        time_limit=None,
        tell=lambda *_: None,
    )
    back = Dataset.load(tmp_path / "out")
    assert not np.array_equal(back.state, data.state)
    np.testing.assert_array_equal(back.state, other.state)


def test_a_failed_export_leaves_the_old_file(tmp_path, monkeypatch):
    data = write(SPEC, tmp_path / "data", [3, 2], 0)
    export.npz(data, tmp_path / "file")
    before = (tmp_path / "file").read_bytes()
    monkeypatch.setattr(export, "_action", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export.npz(data, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "file"]
