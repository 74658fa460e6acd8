"""Features that take few values, as codes: a code is one joint value of them that the log holds.

A mean of such values is a state that never comes, and features drawn one by one may contradict
each other: a one-hot with two ones. A code is a whole joint value, so what is drawn is valid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor, nn

from moma_core.datasets import Dataset
from moma_core.datasets.mapped import chunks

_VALUES = 16
"""Distinct values up to which a feature is coded."""
_CODES = 256
"""Codes at most; a feature that would bring more of them stays continuous."""
_LOOK = 1024
"""Rows that tell nearly every continuous feature from one that takes few values."""


class Codes(nn.Module):
    """The coded features and their joint values (buffers); none and none where nothing is coded.

    Args:
        features: which features are coded, F of them.
        values: what they are for each of C codes, rows in lexicographic order.
    """

    features: Tensor
    values: Tensor

    def __init__(self, features: Int64[Tensor, " F"], values: Float32[Tensor, "C F"]) -> None:
        super().__init__()
        self.register_buffer("features", features)
        self.register_buffer("values", values)

    @classmethod
    def none(cls) -> Codes:
        """Returns the codes of a log in which every feature is continuous."""
        return cls(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 0))

    def __len__(self) -> int:
        return len(self.values)

    def encode(self, state: Float32[Tensor, "N S"]) -> Int64[Tensor, " N"]:
        """Returns the code of each state, all of which the log holds; 0 where nothing is coded."""
        code = torch.zeros(len(state), dtype=torch.int64)
        prefix = torch.zeros(len(self), dtype=torch.int64)
        # Feature by feature, `prefix` numbers the distinct beginnings of the codes in their order.
        for feature, column in zip(self.features.tolist(), self.values.T, strict=True):
            known, place = column.unique(return_inverse=True)
            found = torch.searchsorted(known, state[:, feature].contiguous())
            keys, prefix = (prefix * len(known) + place).unique(return_inverse=True)
            code = torch.searchsorted(keys, code * len(known) + found)
        return code


def find(dataset: Dataset, features: Sequence[int]) -> Codes:
    """Returns the codes of a log: features with the fewest values first, while codes are few.

    Args:
        dataset: the log, held-out rows too: what it holds may come.
        features: those that may be coded.
    """
    counts = _counts(dataset, features)
    order = np.array(sorted(counts, key=lambda feature: counts[feature]), dtype=np.int64)
    table = np.empty((0, len(order)), np.float32)
    for _, part in chunks(dataset.state):
        kept, table = _distinct(np.concatenate([table, part[:, order]]))
        order = order[kept]
    if not len(order):
        return Codes.none()
    rank = np.lexsort(table.T[::-1])
    return Codes(torch.from_numpy(order), torch.from_numpy(np.ascontiguousarray(table[rank])))


def _counts(dataset: Dataset, features: Sequence[int]) -> dict[int, int]:
    """Returns the number of distinct values of each feature that takes few."""
    values = {feature: np.empty(0, np.float32) for feature in features}
    for _, part in chunks(dataset.state):
        for feature in list(values):
            for rows in (part[:_LOOK], part):
                values[feature] = np.union1d(values[feature], rows[:, feature])
                if len(values[feature]) > _VALUES:
                    del values[feature]
                    break
    return {feature: len(distinct) for feature, distinct in values.items()}


def _distinct(rows: NDArray[np.float32]) -> tuple[list[int], NDArray[np.float32]]:
    """Returns the columns that are taken, first ones first, and their distinct joint values."""
    number, first = np.zeros(len(rows), np.int64), np.zeros(min(1, len(rows)), np.int64)
    kept = []
    for index, column in enumerate(rows.T):
        _, place = np.unique(column, return_inverse=True)
        keys, at, joint = np.unique(
            number * (_VALUES + 1) + place, return_index=True, return_inverse=True
        )
        if len(keys) <= _CODES:
            kept.append(index)
            number, first = joint, at
    return kept, rows[first][:, kept]


def pick(logit: Float32[Tensor, "N C"], uniform: Float32[Tensor, " N"]) -> Int64[Tensor, " N"]:
    """Draws a code of each row by inverting its distribution.

    Args:
        logit: of each code.
        uniform: in [0, 1), one per row.
    """
    cumulative = logit.softmax(-1).cumsum(-1)
    # Scaled by the sum, which rounding leaves off 1, so that the last code is never passed.
    below = cumulative <= uniform[:, None] * cumulative[:, -1:]
    return below.sum(-1).clamp_max(logit.shape[-1] - 1)
