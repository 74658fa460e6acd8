"""TensorBoard's tags in a run, and in docs/metrics.md; agents' and features' names are one word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import attrgetter

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from moma_core.runtime import subject

_LINE = re.compile(r"^- `([^`]+)`: (\S.*\.)$")
_FEATURES = "rollout/outside/"
"""Tags that end in a state feature's name, or in `reward`."""
_SETTING = re.compile(r"when `([a-z_.]+)` is `([a-z0-9_]+)`")


def written(run):
    """Tags of the scalars that a run wrote."""
    events = EventAccumulator(str(run.events), size_guidance={"scalars": 0})
    events.Reload()
    return {general(tag, agents_of(run)) for tag in events.Tags()["scalars"]}


def agents_of(run):
    """Names of the run's agents."""
    return subject.task(run.config(), run).spec.agents


def general(tag, agents):
    """`losses/entropy/shoulder` as `losses/entropy/AGENT`; features likewise."""
    if tag.startswith(_FEATURES):
        return f"{_FEATURES}FEATURE"
    stem, _, last = tag.rpartition("/")
    return f"{stem}/AGENT" if last in agents else tag


@dataclass(frozen=True)
class Sentence:
    """When a documented tag occurs."""

    distributed: bool = False
    """Only where the roles are processes."""
    setting: tuple[str, str] = ("", "")
    """Only where this field of the config has this value."""

    occasional: bool = False
    """Not in every run."""

    def expected(self, config, *, distributed):
        """True where a run has to write the tag."""
        field, value = self.setting
        holds = not field or str(attrgetter(field)(config)) == value
        return holds and not self.occasional and (distributed or not self.distributed)


def documented(text):
    """Tag to when it occurs; a malformed bullet is an error."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("- `"):
            continue
        match = _LINE.match(line)
        assert match, f'docs/metrics.md: {line!r} is not of the form "- `tag`: One sentence."'
        assert match[1] not in found, f"docs/metrics.md: `{match[1]}` is there twice"
        setting = _SETTING.search(match[2])
        found[match[1]] = Sentence(
            distributed="(distributed)" in match[2],
            occasional="(where there are any)" in match[2],
            setting=(setting[1], setting[2]) if setting else ("", ""),
        )
    return found


def undocumented(tags, docs):
    """Tags without their sentence."""
    return sorted(tags - docs.keys())


def unwritten(tags, docs, config, *, distributed):
    """Sentences without their tag."""
    expected = {tag for tag, when in docs.items() if when.expected(config, distributed=distributed)}
    return sorted(expected - tags)
