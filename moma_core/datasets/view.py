"""The team's view of a dataset: what stands for the joint state in all that works on the log."""

from __future__ import annotations

from typing import Literal

from moma_core.datasets.dataset import Dataset

WorksOn = Literal["state", "observations"]


def works_on(dataset: Dataset, what: WorksOn) -> Dataset:
    """Returns the data with that as its state: as logged, or all observations side by side."""
    return dataset.side_by_side() if what == "observations" else dataset
