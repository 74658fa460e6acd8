"""Whether what is said of a policy can be believed: one word, and the reasons. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from moma.evaluation.fitted_q import FittedQ
from moma.evaluation.imagined import Imagined

_EPISODES = 10
"""Episodes below which a log says nothing of what is usual in it."""
_STATE_ERROR = 1.1
"""Largest error of the model's states, in errors of the simplest predictions."""
_RETURN_ERROR = 0.5
"""Largest error of held-out episodes' predicted returns, in spreads of the log's."""
_LEFT = 0.1
"""Largest share of episodes that the model could not finish."""
_UNUSUAL = 0.5
"""Largest share of steps, and of what is earned, that are as doubtful as the log's most doubtful
twentieth."""
_APART = 1.0
"""Largest distance between the two estimates, in spreads of the log's returns."""
_LEAST = 0.05
"""Half-width of an interval at least, in spreads of the log's returns."""
_WIDE = 1.0
"""Largest half-width of the model's interval, in spreads of the log's returns."""


@dataclass(frozen=True, kw_only=True)
class LogReturns:
    """What the log's own episodes earned."""

    episodes: int
    return_mean: float
    best_tenth: float
    """Mean return of the best tenth of the episodes."""

    @property
    def spread(self) -> float:
        """The scale on which differences of returns are judged: best tenth less mean."""
        return max(self.best_tenth - self.return_mean, 0.05 * abs(self.return_mean), 1e-6)


@dataclass(frozen=True, kw_only=True)
class Skill:
    """What the model is worth on the log's held-out steps, each predicted from the logged one."""

    state_error: float
    """Median over features of the mean prediction's error, in those of the better of two simple
    ones: that nothing changes, and a linear one."""
    return_error: float
    """Mean over held-out episodes of predicted less logged return."""
    return_error_se: float
    """Standard error of that mean."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One word on a policy's estimates."""

    word: Literal["supported", "not supported"]
    reasons: tuple[str, ...]
    """Reasons against it; none where it is supported."""


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What a policy is taken to be worth: both estimates together."""

    return_mean: float
    return_ci95: tuple[float, float]
    """Interval in which the true return is expected to lie in 95 % of such cases."""


def worth(log: LogReturns, skill: Skill, imagined: Imagined, fitted: FittedQ) -> Worth:
    """Returns the mean of both estimates, with an interval as wide as all that may be wrong.

    That is the members' spread, the distance between the estimates, the model's error on held-out
    episodes with its own chance, and a twentieth of the log's spread, added as independent errors.

    Args:
        log: what the log's own episodes earned.
        skill: what the model is worth on held-out steps.
        imagined: the model's estimate.
        fitted: the estimate by the log alone.
    """
    low, high = imagined.return_ci95
    errors = (
        (high - low) / 2,
        imagined.return_mean - fitted.return_mean,
        abs(skill.return_error) + 2 * skill.return_error_se,
        _LEAST * log.spread,
    )
    half, mean = math.hypot(*errors), (imagined.return_mean + fitted.return_mean) / 2
    return Worth(return_mean=mean, return_ci95=(mean - half, mean + half))


def judge(log: LogReturns, skill: Skill, imagined: Imagined, fitted: FittedQ) -> Judgement:
    """Returns whether the log supports what the estimates say of a policy.

    Args:
        log: what the log's own episodes earned.
        skill: what the model is worth on held-out steps.
        imagined: the model's estimate.
        fitted: the estimate by the log alone.
    """
    spread, low, high = log.spread, *imagined.return_ci95
    apart = abs(imagined.return_mean - fitted.return_mean)
    checks = (
        (
            log.episodes < _EPISODES,
            f"the log has {log.episodes} episodes; {_EPISODES} are the least to judge by",
        ),
        (
            skill.state_error > _STATE_ERROR,
            f"on held-out steps the model is no better than standing still or a straight line "
            f"(error ratio {skill.state_error:.2f})",
        ),
        (
            abs(skill.return_error) - 2 * skill.return_error_se > _RETURN_ERROR * spread,
            f"the model's rewards are off by {skill.return_error:+.2f} an episode on held-out ones",
        ),
        (
            imagined.outside_share + imagined.cut_share > _LEFT,
            f"{100 * imagined.outside_share:.0f} % of the imagined episodes leave the log's range"
            f"{_where(imagined)} and in {100 * imagined.cut_share:.0f} % the model is not sure",
        ),
        (
            imagined.unusual_share > _UNUSUAL,
            f"{100 * imagined.unusual_share:.0f} % of the imagined steps are as doubtful as the "
            "log's most doubtful twentieth",
        ),
        (
            imagined.unusual_reward_share > _UNUSUAL,
            f"{100 * imagined.unusual_reward_share:.0f} % of what is earned is earned in steps as "
            "doubtful as the log's most doubtful twentieth",
        ),
        (
            (high - low) / 2 > _WIDE * spread,
            f"the model's members differ: {low:.2f} to {high:.2f}",
        ),
        (
            apart > _APART * spread,
            f"the two estimates differ: {imagined.return_mean:.2f} by the model, "
            f"{fitted.return_mean:.2f} by the log alone",
        ),
        (
            high < log.return_mean,
            f"it is worse than the log: {imagined.return_mean:.2f}, and the log's mean is "
            f"{log.return_mean:.2f}",
        ),
    )
    reasons = tuple(words for fails, words in checks if fails)
    return Judgement(word="not supported" if reasons else "supported", reasons=reasons)


def _where(imagined: Imagined) -> str:
    """Names the feature by which most of them leave."""
    return f" (most by {next(iter(imagined.outside))})" if imagined.outside else ""
