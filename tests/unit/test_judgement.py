"""Each reason not to believe an estimate, by itself, next to estimates that are believed."""

from dataclasses import replace

import pytest

from moma.evaluation.estimates import Estimate, recommend
from moma.evaluation.fitted_q import FittedQ
from moma.evaluation.imagined import Imagined
from moma.evaluation.judgement import LogReturns, Skill, judge, worth

LOG = LogReturns(episodes=200, return_mean=10.0, best_tenth=14.0)
SKILL = Skill(state_error=0.2, return_error=0.1, return_error_se=0.1)
MODEL = Imagined(
    return_mean=13.0,
    return_ci95=(12.5, 13.5),
    outside_share=0.02,
    outside={"x": 0.02},
    cut_share=0.0,
    unusual_share=0.1,
    unusual_reward_share=0.1,
)
FITTED = FittedQ(return_mean=12.5, return_ci95=(12.0, 13.0), deviation=0.8)


def test_what_nothing_speaks_against_is_supported():
    assert judge(LOG, SKILL, MODEL, FITTED).word == "supported"
    assert judge(LOG, SKILL, MODEL, FITTED).reasons == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"log": {"episodes": 5}}, "the log has 5 episodes"),
        ({"skill": {"state_error": 1.3}}, "no better than standing still"),
        ({"skill": {"return_error": 4.0}}, "rewards are off by +4.00"),
        ({"model": {"outside_share": 0.3, "outside": {"x": 0.3}}}, "(most by x)"),
        ({"model": {"cut_share": 0.2}}, "in 20 % the model is not sure"),
        ({"model": {"unusual_share": 0.7}}, "70 % of the imagined steps"),
        ({"model": {"unusual_reward_share": 0.6}}, "60 % of what is earned"),
        ({"model": {"return_ci95": (5.0, 21.0)}}, "the model's members differ"),
        ({"fitted": {"return_mean": 5.0}}, "the two estimates differ"),
        (
            {
                "model": {"return_mean": 8.0, "return_ci95": (7.0, 9.0)},
                "fitted": {"return_mean": 8.0},
            },
            "it is worse than the log",
        ),
    ],
)
def test_each_reason_is_enough_and_is_named(changes, words):
    found = judge(
        replace(LOG, **changes.get("log", {})),
        replace(SKILL, **changes.get("skill", {})),
        replace(MODEL, **changes.get("model", {})),
        replace(FITTED, **changes.get("fitted", {})),
    )
    assert found.word == "not supported"
    assert len(found.reasons) == 1
    assert words in found.reasons[0]


def test_both_estimates_count_and_the_interval_holds_all_that_may_be_wrong():
    both = worth(LOG, SKILL, MODEL, FITTED)
    assert both.return_mean == pytest.approx(12.75)
    half = (0.5**2 + 0.5**2 + 0.3**2 + 0.2**2) ** 0.5
    assert both.return_ci95 == pytest.approx((12.75 - half, 12.75 + half))
    agreed = replace(FITTED, return_mean=13.0)
    assert worth(LOG, SKILL, MODEL, agreed).return_ci95[1] - 13.0 < half


def test_an_error_that_chance_explains_is_none():
    noisy = replace(SKILL, return_error=4.0, return_error_se=2.0)
    assert judge(LOG, noisy, MODEL, FITTED).word == "supported"
    assert judge(LOG, replace(noisy, return_error_se=0.5), MODEL, FITTED).word == "not supported"


def test_the_scale_of_a_log_whose_episodes_are_alike_is_a_share_of_its_mean():
    alike = LogReturns(episodes=200, return_mean=10.0, best_tenth=10.0)
    assert alike.spread == pytest.approx(0.5)
    assert LogReturns(episodes=200, return_mean=0.0, best_tenth=0.0).spread > 0


def believed(by_model, by_log):
    """A policy's estimates, and what they come to."""
    model = replace(MODEL, return_mean=by_model, return_ci95=(by_model - 0.5, by_model + 0.5))
    fitted = replace(FITTED, return_mean=by_log)
    return Estimate(
        worth=worth(LOG, SKILL, model, fitted),
        by_model=model,
        by_log=fitted,
        judgement=judge(LOG, SKILL, model, fitted),
    )


def test_a_team_that_the_model_alone_praises_is_not_preferred_to_a_clone_that_the_log_knows():
    team, clone = believed(12.2, 12.1), believed(11.7, 14.8)
    assert team.judgement.word == clone.judgement.word == "supported"
    assert recommend({"team": team, "bc": believed(9.5, 9.4), "bc-best": clone}) == "bc-best"
    assert recommend({"team": believed(13.5, 13.4), "bc-best": clone}) == "team"  # control


def test_what_is_not_supported_is_not_recommended_and_imitation_is_the_last_resort():
    apart = believed(20.0, 12.0)
    assert apart.judgement.word == "not supported"
    assert recommend({"team": apart, "bc": believed(10.0, 10.0)}) == "bc"
    assert recommend({"team": apart, "bc": apart, "bc-best": apart}) == "bc"
