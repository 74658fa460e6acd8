"""What is wrong or odd in a dataset: every fault, not the first alone; read in pieces."""

from __future__ import annotations

from collections.abc import Iterator

from moma.log_tools.blocks import blocks
from moma.log_tools.findings.actions import actions, allowed
from moma.log_tools.findings.clock import clock
from moma.log_tools.findings.episodes import Presence, presence_marks, time_limits
from moma.log_tools.findings.finding import Finding
from moma.log_tools.findings.jumps import Jumps
from moma.log_tools.findings.repeats import Repeats, hashes, repeated
from moma.log_tools.findings.values import constant, constant_reward, extremes, not_finite
from moma_core.datasets.dataset import ARRAYS, Dataset, open_array
from moma_core.datasets.validate import misplaced

__all__ = ["Finding", "find", "hashes", "repeated"]
_ORDER = ("error", "warning", "note")


def find(dataset: Dataset) -> list[Finding]:
    """Goes through a dataset that need not be sound: `Dataset.load(path, checked=False)`.

    Where episodes do not begin and end as they must, values and actions are checked and episodes
    are not.

    Returns:
        Errors first, then warnings, then notes.

    Raises:
        DatasetError: `timestamp.npy`, `present.npy` or `allowed.npy` is no plain array.
    """
    return sorted(_findings(dataset), key=lambda finding: _ORDER.index(finding.severity))


def _findings(dataset: Dataset) -> Iterator[Finding]:
    yield from _imported(dataset)
    yield from _values(dataset)
    yield from actions(dataset.spec, dataset.action)
    arrays = {name: getattr(dataset, name) for name in ARRAYS}
    faults = list(misplaced(dataset.path, arrays, dataset.spec.episode_limit))
    for fault in faults:
        yield Finding(
            severity="error",
            what=fault,
            count=1,
            unit="files",
            meaning="nothing else is said of episodes before it is mended",
        )
    if not faults:
        yield from _episodes(dataset)


def _imported(dataset: Dataset) -> Iterator[Finding]:
    """Yields again what was warned of when the log was imported."""
    warnings = dataset.origin.get("warnings", ())
    for warning in warnings if isinstance(warnings, list) else ():
        yield Finding(
            severity="warning",
            what=str(warning),
            count=1,
            unit="imports",
            meaning="found when the log was imported: mend it there and import again",
        )


def _values(dataset: Dataset) -> Iterator[Finding]:
    spec = dataset.spec
    names = {
        "state": list(spec.state_names),
        "action": [f"{agent}.{dim}" for agent in spec.agents for dim in range(spec.action_width)],
        "reward": ["reward"],
    }
    for name, of_columns in names.items():
        found = extremes(getattr(dataset, name))
        yield from not_finite(name, found, of_columns)
        if name == "state":
            yield from constant(found, of_columns)
        if name == "reward":
            yield from constant_reward(found)


def _episodes(dataset: Dataset) -> Iterator[Finding]:
    collected = Repeats(dataset), Presence(dataset), Jumps(dataset)
    for block in blocks(dataset):
        for one in collected:
            one.add(block)
    for one in collected:
        yield from one.findings()
    yield from time_limits(dataset)
    for name, check in (("timestamp", clock), ("present", presence_marks), ("allowed", allowed)):
        path = dataset.path / f"{name}.npy"
        if path.exists():
            yield from check(dataset, open_array(path))
