"""The page of failures is what docstrings say, and the scorecard is what tests came to."""

from __future__ import annotations

import pytest

from tests import failure_modes, scorecard


def test_the_page_says_what_the_docstrings_say():
    assert failure_modes.PAGE.read_text(encoding="utf-8") == failure_modes.page(), (
        "write it anew: python -m tests.failure_modes"
    )
    assert len(failure_modes.rows()) >= 8


def test_a_docstring_without_one_of_the_parts_is_an_error():
    whole = "It fails.\n\nSymptom: a\nCause: b\nWhat we do: c\n  d\nWhat you do: e | f"
    assert failure_modes.parts(whole) == ("a", "b", "c d", "e \\| f")
    assert failure_modes.parts("It holds.") == ()
    with pytest.raises(AssertionError):
        failure_modes.parts(whole.replace("Cause: b\n", ""))


RESULTS = """<testsuites><testsuite>
<testcase name="a" time="1"><properties><property name="reliability" value="1 ckpt_kill9_random"/>
<property name="tried" value="6"/><property name="passed" value="5"/>
<property name="worst_s" value="0.5"/></properties><failure message="torn"/></testcase>
<testcase name="b" time="1"><properties><property name="reliability" value="15 disk_full"/>
</properties><skipped message="no mount"/></testcase>
<testcase name="c" time="1"><properties><property name="reliability" value="3 resume_bitwise"/>
</properties></testcase><testcase name="d" time="1"/></testsuite></testsuites>"""


def test_the_scorecard_calls_nothing_passed_that_was_skipped_or_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(scorecard, "DOCS", tmp_path)
    (tmp_path / "results.xml").write_text(RESULTS)
    scorecard.main("C", tmp_path / "results.xml")
    lines = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:6]]
        for line in (tmp_path / "scorecard.md").read_text().splitlines()
        if line.startswith("|")
    }
    assert lines["1 ckpt_kill9_random"] == ["C", "6", "5", "0.5"]
    assert lines["15 disk_full"] == ["C", "0", "0", ""]
    assert lines["3 resume_bitwise"] == ["C", "1", "1", ""]
    assert lines["27 soak"] == ["", "0", "0", ""]
    text = (tmp_path / "scorecard.md").read_text()
    assert "FAILED" in text
    assert "skipped: no mount" in text
    assert len(lines) == 2 + len(scorecard.TESTS) == 34
