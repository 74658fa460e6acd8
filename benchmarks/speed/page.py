"""A profile as lines for people and as plain values for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from benchmarks.speed.profile import Profile

WORDS = {
    "forward Ensemble": "forward: the world model's networks",
    "forward Actors": "forward: the actors' networks",
    "forward Critic": "forward: the critic",
    "losses": "log-probabilities, entropy, loss terms",
    "backward": "backward: losses and networks",
    "optimiser": "the optimiser's step",
    "other": "all the rest",
}
LEGEND = """\
A forward pass is a call of a network and nothing around it; in an update also the way from the
networks' outputs to the backward pass, which is the losses. A round is an update and a rollout
phase, which is all but the update: rollouts, messages, publishing, checkpoint, log. There, passes
of several processes at the same moment count once. Other operators of torch: units, draws,
disagreement, windows, packing. What it costs to note all that, up to a tenth, is in the figures.
"""


def text(profiles: Sequence[Profile]) -> str:
    """Returns all profiles and what is counted as what."""
    parts = ["\n".join(lines(profile)) + "\n" for profile in profiles]
    return "\n".join([*parts, LEGEND])


def lines(profile: Profile) -> list[str]:
    """Returns one profile's lines."""
    learning = sum(profile.update.values())
    return [
        f"profile of {profile.name}, {profile.size}: means over {profile.rounds} rounds",
        _line(0, "a round", profile.round, profile.round),
        _line(1, "update", learning, profile.round),
        *_parts(profile.update, profile.round),
        _line(1, "rollout phase", profile.rollout, profile.round),
        _line(2, "a forward pass runs somewhere", profile.rollout_forward, profile.round),
        _line(2, "that or an operator of torch", profile.rollout_operators, profile.round),
        *_parts(profile.rollout_alone, profile.round),
        *_busy(profile),
        f"  forward or backward passes run for {profile.share:.2f} of the wall time",
    ]


def _parts(seconds: Mapping[str, float], whole: float) -> list[str]:
    return [_line(2, WORDS.get(kind, kind), value, whole) for kind, value in seconds.items()]


def _busy(profile: Profile) -> list[str]:
    """Returns a line per process: what it did in the rollout phase."""
    return [
        f"    {busy.role}: {busy.forward * 1e3:,.0f} ms in forward passes, "
        f"{busy.operators * 1e3:,.0f} ms in other operators of torch"
        for busy in profile.busy
    ]


def _line(depth: int, what: str, seconds: float, whole: float) -> str:
    text = "  " * depth + what
    return f"{text:<88}{seconds * 1e3:>9,.1f} ms{100 * seconds / whole:>7.1f} %"


def plain(profiles: Sequence[Profile]) -> list[dict[str, object]]:
    """Returns what JSON holds of the profiles."""
    return [
        {
            **asdict(profile),
            "round": profile.round,
            "forward_or_backward_share": profile.share,
        }
        for profile in profiles
    ]
