"""The fixed dataset: episodes on disk, checked on reading; rows to fit, starts to imagine from."""

from moma_core.datasets.dataset import Dataset, digest_of, spec_of, step_of
from moma_core.datasets.starts import StartSampler
from moma_core.datasets.validate import DatasetError
from moma_core.datasets.write import EpisodeWriter

__all__ = [
    "Dataset",
    "DatasetError",
    "EpisodeWriter",
    "StartSampler",
    "digest_of",
    "spec_of",
    "step_of",
]
