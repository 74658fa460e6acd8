"""Worlds whose truth is known, trained on as a user would: what is said of the team is true."""

import pytest

from benchmarks.proving import command, page
from benchmarks.proving.worlds import WORLDS

FEW = ("coin", "convention-3", "memory", "once")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    keep = tmp_path_factory.mktemp("proving")
    words = ["--worlds", *FEW, "--seeds", "1", "--keep", str(keep)]
    file = keep / "rows.jsonl"
    assert command.main([*words, "--rows", str(file)]) == 0
    before = file.read_bytes()
    assert command.main([*words, "--rows", str(file)]) == 0  # nothing is run again
    assert file.read_bytes() == before
    return {row["world"]: row for row in command.read(file)}


@pytest.mark.parametrize("world", FEW)
def test_the_recommended_policy_is_nearly_the_best_and_the_estimate_is_honest(rows, world):
    row = rows[world]
    spread = row["log"]["best_tenth"] - row["log"]["return_mean"]
    assert row["truth"][row["recommended"]] >= 0.95 * WORLDS[world].optimum
    assert row["truth"][row["recommended"]] > row["log"]["return_mean"]
    assert row["judgement"] == "supported"
    worth = row["policies"]["team"]["worth"]
    assert worth["return_mean"] - row["truth"]["team"] <= 0.2 * spread


def test_clones_that_copy_each_by_itself_do_not_agree_and_are_not_recommended(rows):
    row = rows["convention-3"]
    assert row["truth"]["team"] == 10
    assert row["truth"]["bc"] < row["truth"]["team"]
    assert row["recommended"] != "bc"


def test_the_page_has_a_line_for_every_run_and_its_figures(rows, tmp_path):
    page.write(list(rows.values()), tmp_path)
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert text.count("\n| ") == len(FEW) + 1
    assert "4 runs in 4 worlds; not supported in 0 runs (no world)" in text
    assert (tmp_path / "worlds.png").stat().st_size > 10_000
    bad = dict(rows["coin"], judgement="supported", truth={"team": 0.0, "bc": 0.0, "bc-best": 0.0})
    found = page.figures([bad])
    assert "coin seed 0" in found[1]  # control: a policy below the log is named
    assert "coin seed 0" in found[4]
