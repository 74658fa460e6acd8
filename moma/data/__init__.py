"""The fixed log: episodes on disk, checked on reading; rows to fit, starts to imagine from."""

from moma.data.dataset import Dataset, spec_of
from moma.data.starts import StartSampler
from moma.data.validate import DatasetError
from moma.data.write import EpisodeWriter

__all__ = ["Dataset", "DatasetError", "EpisodeWriter", "StartSampler", "spec_of"]
