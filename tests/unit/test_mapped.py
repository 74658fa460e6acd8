"""Arrays larger than memory: what is read is right, and what was touched does not stay."""

import gc

import numpy as np
import psutil
import pytest
import torch

from moma_core.datasets import Dataset, DatasetError, mapped
from moma_core.datasets.mapped import Columns, Moments, chunks, take

MEGABYTE = 1 << 20


def spread(array):
    """Rows of every part of an array, in no order and twice."""
    return np.random.default_rng(0).integers(len(array), size=(7, 50))


@pytest.fixture
def array(tmp_path):
    """A mapped array of 500 rows."""
    np.save(tmp_path / "a.npy", np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32))
    return np.lib.format.open_memmap(tmp_path / "a.npy", mode="r")


@pytest.mark.parametrize("regions", [1, 3, 1000])
def test_take_is_indexing_whatever_the_number_of_its_blocks(array, regions, monkeypatch):
    monkeypatch.setattr(mapped, "_REGION", 64)
    monkeypatch.setattr(mapped, "_REGIONS", regions)
    for row in (spread(array), np.arange(500), np.arange(0), np.array([499])):
        np.testing.assert_array_equal(take(array, row), array[row])
    none = np.zeros((4, 0), dtype=np.int64)
    assert take(array, none).shape == (4, 0, 3)


def test_chunks_are_the_whole_array_in_order(array, monkeypatch):
    assert [begin for begin, _ in chunks(array)] == [0]
    monkeypatch.setattr(mapped, "_CHUNK", 12 * 64)
    found = [(begin, np.array(part)) for begin, part in chunks(array)]
    assert [begin for begin, _ in found] == list(range(0, 500, 64))
    np.testing.assert_array_equal(np.concatenate([part for _, part in found]), array)


def test_a_row_larger_than_a_chunk_is_a_chunk(array, monkeypatch):
    monkeypatch.setattr(mapped, "_CHUNK", 1)
    assert [len(part) for _, part in chunks(array)] == [1] * 500


def test_columns_read_as_a_copy_with_those_columns_would(array):
    index = [2, 0, 2]
    columns, copy = Columns(array, index), np.asarray(array)[:, index]
    assert (len(columns), columns.shape, columns.dtype) == (500, (500, 3), np.float32)
    np.testing.assert_array_equal(take(columns, spread(array)), copy[spread(array)])
    np.testing.assert_array_equal(columns[3:9], copy[3:9])
    np.testing.assert_array_equal(take(Columns(columns, [1]), np.arange(9)), copy[:9, [1]])


def moments(parts):
    found = Moments(3)
    for part in parts:
        found.add(len(part), part.mean(0), part.std(0))
    return found


def test_moments_of_parts_are_those_of_the_whole():
    # Far from zero: sums of squares in float32 would lose every digit of the deviation.
    rows = np.random.default_rng(2).normal(1e4, [0.5, 1.0, 0.0], (10_000, 3))
    parts = np.split(rows.astype(np.float32), [1, 17, 5000, 9999])
    found, exact = moments(parts), rows.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(found.mean, exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.std, exact.std(0), rtol=1e-2, atol=1e-3)
    assert found.count == 10_000


def test_one_part_comes_back_to_the_bit():
    rows = torch.randn(1000, 3).numpy() * 3 + 1
    found = moments([rows])
    np.testing.assert_array_equal(found.mean.astype(np.float32), rows.mean(0))
    np.testing.assert_array_equal(found.std.astype(np.float32), rows.std(0))


def test_a_datasets_moments_are_those_of_all_its_states(dataset, monkeypatch):
    mean, std = dataset.state_moments()
    state = np.asarray(dataset.state)
    np.testing.assert_array_equal(mean, state.mean(0))
    np.testing.assert_array_equal(std, state.std(0))
    monkeypatch.setattr(mapped, "_CHUNK", 200)
    parts = dataset.state_moments()
    np.testing.assert_allclose(parts, (mean, std), rtol=1e-5, atol=1e-6)


def test_episodes_and_terminals_are_those_of_a_loop_over_rows(terminal_dataset):
    data, episode = terminal_dataset, -1
    terminals = []
    for row in range(data.transitions):
        episode += row in data.episode_start
        assert data.episode_of(np.array([row])) == [episode]
        if data.terminated[row]:
            terminals.append(row)
    assert data.terminals.tolist() == terminals
    assert 0 < len(terminals) < data.episodes


@pytest.mark.parametrize("name", ["state", "action", "reward"])
@pytest.mark.parametrize("at", [0, 31, -1])
def test_a_fault_is_found_in_every_chunk(dataset, tmp_path, monkeypatch, name, at):
    monkeypatch.setattr(mapped, "_CHUNK", 100)
    for path in dataset.path.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert Dataset.load(tmp_path).transitions == dataset.transitions
    array = np.load(tmp_path / f"{name}.npy")
    array[at] = np.nan
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(DatasetError, match=rf"{name}\[{at % len(array)}\D.* is nan"):
        Dataset.load(tmp_path)


@pytest.mark.parametrize(("flag", "text"), [(True, "goes on after"), (False, "is cut")])
def test_a_wrong_end_is_found_in_every_chunk(dataset, tmp_path, monkeypatch, flag, text):
    monkeypatch.setattr(mapped, "_CHUNK", 7)
    for path in dataset.path.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    ends = np.append(dataset.episode_start[1:], dataset.transitions) - 1
    row = int(ends[-2]) if not flag else next(r for r in range(40, 99) if r not in ends)
    array = np.load(tmp_path / "truncated.npy")
    array[row] = flag
    np.save(tmp_path / "truncated.npy", array)
    with pytest.raises(DatasetError, match=f"at row {row} {text}"):
        Dataset.load(tmp_path)


def touched(read):
    """Megabytes of mapped files that this process holds after `read()` and did not before."""
    gc.collect()
    before = psutil.Process().memory_info().shared
    read()
    return (psutil.Process().memory_info().shared - before) / MEGABYTE


def test_what_was_read_does_not_stay_in_memory(tmp_path):
    shape = (50_000, 1000)  # 200 MB of holes
    np.lib.format.open_memmap(tmp_path / "big.npy", "w+", np.float32, shape).flush()
    big = np.lib.format.open_memmap(tmp_path / "big.npy", mode="r")
    rows = np.arange(0, 50_000, 10)
    assert touched(lambda: [take(big, part) for part in np.split(rows, 50)]) < 20
    assert touched(lambda: [take(Columns(big, [3]), part) for part in np.split(rows, 50)]) < 20
    assert touched(lambda: [part.max() for _, part in chunks(big)]) < 20
    # Without giving pages back, the same reading fills memory.
    assert touched(lambda: [big[part] for part in np.split(rows, 50)]) > 100
