"""`moma report`: one page that holds all it shows; of several runs the differences come first."""

from __future__ import annotations

import html
import json
import re
import shutil

import pytest

import moma
from moma.reports.run.facts import Interval, RunFacts
from moma_core.runtime.run import RunDirectory
from tests.builders import write_dataset

PLACE = "tests.integration.test_python_api:Lopsided"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two runs that differ in their seed and in a setting."""
    path = tmp_path_factory.mktemp("report")
    log = write_dataset(path / "log", episodes=40)
    common = {
        "data": log.path, "env": PLACE, "algorithm": "bc", "bc.updates": 5, "in-process": True,
        "eval.final-episodes": 12, "eval.every": 1,
    }  # fmt: skip
    return [
        moma.train(
            {**common, "run-dir": path / f"run-{seed}", "seed": seed, "bc.rounds": 2 + seed}
        ).path
        for seed in (0, 1)
    ]


def words(page):
    """A page's text, without its tags and pictures."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_a_page_of_one_run_holds_what_its_files_say(pair, cli, capsys):
    assert cli("report", pair[0]) == 0
    path = pair[0] / "report.html"
    assert capsys.readouterr().out == f"{path}\n"
    page = path.read_text()
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=[\"'](?!data:)", page)
    assert page.count("<img") == 6  # estimate and truth, learning, agents, three of the log
    text, result = words(page), json.loads((pair[0] / "result.json").read_text())
    low, high = result["return_ci95"]
    assert f"team - {result['return_mean']:.4g} ({low:.4g} to {high:.4g}) not judged" in text
    assert f"log, SHA-256 {result['data_sha256']}" in text
    assert f"environment {PLACE}" in text
    assert "bc.updates 5" in text
    assert "wide 3 features 2 numbers narrow 2 features 1 numbers" in text
    assert "Differences" not in text


def test_of_two_runs_differences_with_intervals_and_settings_come_first(pair, tmp_path, cli):
    assert cli("report", *pair, "--out", tmp_path / "both.html") == 0
    page = (tmp_path / "both.html").read_text()
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles[:3] == ["Differences", "Estimate and truth", "Learning"]
    first, second = (RunFacts(RunDirectory(path)).measured() for path in pair)
    assert f"run-1 {second} {second - first} - - not judged" in words(page)
    assert "bc.rounds 2 3" in words(page)
    assert "bc.updates" not in words(page[: page.index("Estimate and truth")])


def test_runs_of_other_logs_are_not_subtracted(pair, tmp_path, cli):
    shutil.copytree(pair[1], tmp_path / "other")
    about = tmp_path / "other" / "subject.json"
    told = json.loads(about.read_text())
    about.write_text(json.dumps(told | {"data_sha256": "0" * 64}))
    assert cli("report", pair[0], tmp_path / "other", "--out", tmp_path / "both.html") == 0
    assert "other log, task or environment" in words((tmp_path / "both.html").read_text())


def test_a_run_that_has_not_ended_has_a_page(run, tmp_path, cli):
    assert cli("report", run.path, "--out", tmp_path / "page.html") == 0
    page = (tmp_path / "page.html").read_text()
    text = words(page)
    assert "Nothing is known yet: the run has not ended." in text
    assert "Nothing was written yet." in text
    assert "error of standing still" in text
    assert page.count("<img") == 5  # three of the log, the model's intervals and its errors


def test_a_log_that_is_gone_is_missed_in_words_and_a_film_is_shown(pair, tmp_path, cli):
    run = shutil.copytree(pair[0], tmp_path / "run")
    told = json.loads((run / "config.json").read_text())
    told["data"]["path"] = str(tmp_path / "nowhere")
    (run / "config.json").write_text(json.dumps(told))
    (run / "team.gif").write_bytes(b"GIF89a")
    assert cli("report", run) == 0
    page = (run / "report.html").read_text()
    assert page.count("<img") == 4  # no picture of the log, but the film
    assert "data:image/gif;base64," in page
    assert "does not hold the run's log any more" in words(page)


def test_which_run_is_asked(tmp_path, cli, capsys):
    assert cli("report") == 2
    assert cli("report", tmp_path) == 2
    assert "holds no run" in capsys.readouterr().err


def test_a_difference_is_as_wide_as_both_intervals_together():
    apart = Interval(3, 0, 6) - Interval(1, -3, 5)
    assert (apart.mean, apart.low, apart.high) == (2, -3, 7)
    assert str(apart) == "2 (-3 to 7)"
