"""One stable hash for every draw in the run; it knows nothing of what is drawn.

Two forms: `derive` for whole streams (Python integers, any labels) and `mix` for one draw per row
(tensors, no generator), so that a row's draw does not depend on its neighbours, on the batch that
it travels in, or on the order in which batches arrive.
"""

from __future__ import annotations

import hashlib

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

# Constants of the SplitMix64 finaliser (Steele, Lea, Flood 2014), as signed 64-bit integers.
_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)

ACTIONS = 32
"""Stream of a team's actions, step by step."""


def derive(seed: int, *labels: str | int) -> int:
    """Returns a 63-bit seed that depends on `seed` and every label, equal on every machine.

    Args:
        seed: the run's seed, or one derived from it.
        labels: what the stream is for, as in `derive(seed, "minibatches", version)`.
    """
    text = "\x1f".join(f"{type(label).__name__}:{label}" for label in (seed, *labels))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, *labels: str | int) -> torch.Generator:
    """Returns a torch generator seeded with `derive(seed, *labels)`."""
    return torch.Generator().manual_seed(derive(seed, *labels))


def rows(seed: int, count: int, first: int = 0) -> Int64[Tensor, " B"]:
    """Returns the seeds of rows `first` to `first + count`: the same ones however they are cut.

    Args:
        seed: of all rows.
        count: rows, B.
        first: number of the first one.
    """
    return mix(torch.arange(first, first + count, dtype=torch.int64) + _signed(seed))


def mix(x: Int64[Tensor, "*B"]) -> Int64[Tensor, "*B"]:
    """Scrambles 64-bit integers (the SplitMix64 finaliser), elementwise; the sum wraps around."""
    x = x + _GAMMA
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def choose(row_seed: Int64[Tensor, " B"], count: int) -> Int64[Tensor, " B"]:
    """Draws an index in `[0, count)` for each row; uniform up to 2^-62 * count."""
    return _shift(mix(row_seed), 2) % count


def along(
    row_seed: Int64[Tensor, "*B"], age: Int64[Tensor, "*B"], stream: int
) -> Int64[Tensor, "*B"]:
    """Returns seeds that differ from step to step where the rows' own stay the same.

    Args:
        row_seed: one per row.
        age: steps since each row's episode began.
        stream: what is drawn; seeds of two streams have nothing to do with each other.
    """
    return mix(row_seed + mix(age + (stream << 32)))


def uniform(row_seed: Int64[Tensor, " B"]) -> Float32[Tensor, " B"]:
    """Draws a number in [0, 1) for each row, a multiple of 2^-24."""
    return _shift(mix(row_seed), 40).to(torch.float32) * 2.0**-24


def grid(row_seed: Int64[Tensor, "*B"], shape: tuple[int, int]) -> Float64[Tensor, "*B M N"]:
    """Draws numbers in (0, 1) for each seed, the ends left out: every quantile is finite.

    Args:
        row_seed: one per grid.
        shape: of each grid, (M, N).
    """
    cells = mix(row_seed[..., None] + torch.arange(shape[0] * shape[1]))
    return ((_shift(cells, 12).double() + 0.5) * 2.0**-52).view(*row_seed.shape, *shape)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift; torch's own is arithmetic on signed integers."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(seed: int) -> int:
    return (seed + (1 << 63)) % (1 << 64) - (1 << 63)
