"""A process that fits a model to a log and draws starts from it: DATA RUN."""

import sys
from pathlib import Path

from moma.cli import main as cli
from moma_core import seeds
from moma_core.datasets import StartSampler
from moma_core.runtime import subject
from moma_core.runtime.run import RunDirectory

TINY = (
    "--threads", "1", "--model.members", "2", "--model.elites", "2", "--model.width", "8",
    "--model.depth", "1", "--model.updates", "40", "--model.evaluate-every", "20",
)  # fmt: skip


def main(data, run):
    """Does what `moma fit` does, then what a learner does before its first round."""
    status = cli.main(["fit", "--data", data, "--run-dir", run, *TINY])
    if status == 0:
        opened = RunDirectory.open(Path(run))
        dataset = subject.dataset(opened.config(), opened.data)
        dataset.state_moments()
        sampler = StartSampler(dataset, 10, 0.5)
        for seed in range(100):
            sampler.draw(seeds.rows(seed, 256))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
