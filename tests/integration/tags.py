"""TensorBoard's tags in a run, and in docs/metrics.md, with agents' names made one word."""

from __future__ import annotations

import re

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

_LINE = re.compile(r"^- `([^`]+)`( \(distributed\))?: (\S.*\.)$")
DISTRIBUTED = "(distributed)"


def written(run):
    """Tags of the scalars that a run wrote."""
    events = EventAccumulator(str(run.events), size_guidance={"scalars": 0})
    events.Reload()
    return {general(tag, agents_of(run)) for tag in events.Tags()["scalars"]}


def agents_of(run):
    """Names of the run's agents."""
    from moma import tasks

    return tasks.get(run.config().task).spec.agents


def general(tag, agents):
    """`losses/entropy/shoulder` as `losses/entropy/AGENT`."""
    stem, _, last = tag.rpartition("/")
    return f"{stem}/AGENT" if last in agents else tag


def documented(text):
    """Tag to whether it occurs in distributed runs only; a malformed bullet is an error."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("- `"):
            continue
        match = _LINE.match(line)
        assert match, f"docs/metrics.md: {line!r} is not of the form \"- `tag`: One sentence.\""
        assert match[1] not in found, f"docs/metrics.md: `{match[1]}` is there twice"
        found[match[1]] = match[2] is not None or DISTRIBUTED in match[3]
    return found


def undocumented(tags, docs):
    """Tags without their sentence."""
    return sorted(tags - docs.keys())


def unwritten(tags, docs, *, distributed):
    """Sentences without their tag."""
    expected = {tag for tag, remote in docs.items() if distributed or not remote}
    return sorted(expected - tags)
