"""A profile as lines for people and as plain values for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from benchmarks.speed.profile import Profile

WORDS = {
    "model forward": "forward: the world model's networks",
    "actors forward": "forward: the actors' networks",
    "critic forward": "forward: the critic",
    "losses": "log-probabilities, entropy, the loss terms' derivatives",
    "backward": "backward: the networks",
    "rows": "values' and minibatches' rows gathered (the critic's forward not counted)",
    "optimiser": "gradient norm and Adam's step",
    "predicting": "prediction beside the networks: units, draws, doubts, the box",
    "rollout": "rollout beside networks and predictions: windows, draws, penalty, what is kept",
    "other": "all the rest",
}
LEGEND = """\
A forward pass is a call of the world model's networks, of the actors or of the critic, and nothing
around it; in an update also the way from the networks' outputs to the derivatives of the loss by
them. A round is an update and a rollout phase, which is all the rest: rollouts, messages,
publishing, checkpoint, log. There, passes of several processes at the same moment count once. A
prediction is a forward pass with what the model does around it: units, draws, doubts, the box.
Processor time in a forward pass is that of the thread that calls it, times torch's threads; what a
process uses besides is all else.
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
        _line(2, "that or a prediction runs somewhere", profile.rollout_predicted, profile.round),
        *_parts(profile.rollout_alone, profile.round),
        *_busy(profile),
        f"  forward or backward passes run for {profile.share:.2f} of the wall time, predictions "
        f"counted whole for {profile.share_predicted:.2f}",
    ]


def _parts(seconds: Mapping[str, float], whole: float) -> list[str]:
    return [_line(2, WORDS[kind], value, whole) for kind, value in seconds.items()]


def _busy(profile: Profile) -> list[str]:
    """Returns a line per process: what it used of the processors in the rollout phase."""
    return [
        f"    processor time of {busy.role}: {busy.forward * 1e3:,.0f} ms in forward passes, "
        f"{busy.other * 1e3:,.0f} ms in all else"
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
            "share_with_whole_predictions": profile.share_predicted,
        }
        for profile in profiles
    ]
