"""How many cores a process may use, where the machine has more, and how torch computes there."""

from __future__ import annotations

import os
import resource

import pytest
import torch

from moma_core.nets import kernels
from moma_core.runtime import process


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("1600000 100000", 8),  # more than the mask has
        (None, 8),
    ],
)
def test_a_process_has_the_cores_of_its_mask_or_fewer_under_a_quota(
    tmp_path, monkeypatch, quota, cores
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8, 16)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    path = tmp_path / "cpu.max"
    monkeypatch.setattr(process, "_QUOTA", path)
    if quota is not None:
        path.write_text(f"{quota}\n")
    assert process.cores() == cores


def test_where_the_system_has_no_masks_all_cores_count(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(process, "_QUOTA", tmp_path / "none")
    assert process.cores() == 64


@pytest.fixture
def two_threads():
    """Torch has two threads, as OMP_NUM_THREADS=2 would have it."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("wanted", "cores", "threads"),
    [
        (0, 8, 2),  # the user's limit is kept
        (0, 1, 1),  # nor are there more threads than cores
        (3, 1, 3),  # unless they are asked for
    ],
)
@pytest.mark.usefixtures("two_threads")
def test_torch_keeps_its_threads_unless_told_or_short_of_cores(monkeypatch, wanted, cores, threads):
    monkeypatch.setattr(process, "cores", lambda: cores)
    process.compute_on(wanted)
    assert torch.get_num_threads() == threads


@pytest.fixture
def matmul():
    """Torch's products as they are where nobody has said how to compute them."""
    products = torch.backends.mkldnn.matmul
    before, products.fp32_precision = products.fp32_precision, "none"
    yield products
    products.fp32_precision = before


@pytest.mark.parametrize(
    ("able", "precision"),
    [
        ({"avx512_bf16"}, "bf16"),
        ({"avx512_bf16", "amx_bf16"}, "none"),  # there it would no longer be fp32
        (set(), "none"),
    ],
)
@pytest.mark.usefixtures("two_threads")
def test_products_go_to_onednn_where_it_is_faster_and_exact(monkeypatch, matmul, able, precision):
    monkeypatch.setattr(kernels, "_ABLE", able)
    process.compute_on(1)
    assert matmul.fp32_precision == precision


def test_a_process_may_open_as_many_files_as_the_system_lets_it():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        process.open_many_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1] > 256
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
