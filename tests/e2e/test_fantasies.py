"""Models that are wrong on purpose are seen through, and an honest one is not suspected."""

import pytest

from benchmarks.proving import fantasies
from benchmarks.proving.worlds import WORLDS


@pytest.mark.parametrize(
    ("case", "why"),
    [("five episodes", "the log has 5 episodes"), ("noise", "no better than standing still")],
)
def test_a_fantasy_is_not_supported_and_the_reason_is_the_fault(tmp_path, case, why):
    found = fantasies.judged(WORLDS["crew"], case, 0, tmp_path)
    assert found["judgement"] == "not supported"
    assert any(why in reason for reason in found["policies"]["team"]["judgement"]["reasons"])
