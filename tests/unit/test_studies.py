"""Rows, suites and comparisons: whole after a kill, each run once, what is missing is said."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from moma.studies import comparison, rows, suite, tables
from moma.studies.rows import Point, Returns, Row

ROOT = Path(__file__).parents[2]
ROW = Row(
    task="icg", variant="neutral", algorithm="moma_ppo", seed=0, score=1.0,
    returns=Returns(mean=10.0, ci95=(10.0, 10.0), episodes=100), estimate=None,
    curve=(Point(round=5, score=0.5),), rounds=20,
    seconds={"fit": 3.0, "training_rounds": 4.0, "total": 8.0},
    settings="icg --data.variant neutral", commit="0.1.0 abc", data_sha256="0" * 64,
    true_evaluations_used_in_tuning=7,
)  # fmt: skip


def made(algorithm, *scores, task="icg"):
    return [
        replace(ROW, task=task, algorithm=algorithm, seed=seed, score=score)
        for seed, score in enumerate(scores)
    ]


def test_rows_are_read_as_they_were_written(tmp_path):
    file = tmp_path / "new" / "rows.jsonl"
    assert rows.read(file) == []
    rows.append(file, ROW)
    rows.append(file, replace(ROW, seed=1))
    assert rows.read(file) == [ROW, replace(ROW, seed=1)]


def test_a_line_that_a_kill_cut_short_is_no_row_and_the_next_one_takes_its_place(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows.append(file, ROW)
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:40])
    assert rows.read(file) == [ROW]
    rows.append(file, replace(ROW, seed=1))
    assert rows.read(file) == [ROW, replace(ROW, seed=1)]
    # Negative control: a whole line that is no row is not passed over.
    file.write_bytes(whole + b'{"task": "icg"}\n')
    with pytest.raises(ValueError, match=r"rows\.jsonl:2 is no Row"):
        rows.read(file)


@pytest.mark.parametrize("name", ["games", "reacher-alone", "reacher"])
def test_the_suites_are_readable_and_every_run_has_its_place(name):
    jobs = list(suite.read(ROOT / "benchmarks" / "study" / f"{name}.json").jobs(2))
    assert len({job.name for job in jobs}) == len(jobs) > 0
    # All of a seed come before those of the next.
    assert [job.seed for job in jobs] == sorted(job.seed for job in jobs)


@pytest.fixture
def games():
    return suite.read(ROOT / "benchmarks" / "study" / "games.json")


def test_a_job_knows_its_row_and_no_other(games):
    job = next(j for j in games.jobs(1) if j.name == "icg-neutral-moma_ppo-0")
    row = replace(ROW, settings=job.settings)
    assert job.made(row)
    assert job.words[:1] == ["icg"]
    assert job.words[-4:] == ["--algorithm", "moma_ppo", "--seed", "0"]
    for other in ({"seed": 1}, {"variant": "x"}, {"algorithm": "bc"}, {"settings": "icg"}):
        assert not job.made(replace(row, **other))


def test_methods_without_a_form_for_choices_are_not_run_on_them(games):
    names = {job.name for job in games.jobs(1)}
    assert "polygame-plus-modes-omar-0" in names
    assert not any("omar" in name for name in names if name.startswith(("icg", "convention")))
    words = next(j for j in games.jobs(4, 3) if j.entry.task == "convention-4").words
    assert "runs/logs/convention-4-3" in words


def test_two_runs_in_one_place_are_refused(tmp_path):
    file = tmp_path / "suite.json"
    entry = {"task": "icg", "variant": "", "words": ["icg"]}
    method = {"label": "bc", "algorithm": "bc"}
    file.write_text(json.dumps({"entries": [entry], "methods": [method, method]}))
    with pytest.raises(ValueError, match="two runs are called icg-bc-0"):
        suite.read(file)


def test_a_comparison_says_what_is_missing_and_who_is_better():
    found = comparison.compare(
        rows.ordered([*made("bc", 0.0, 0.5, 1.0), *made("moma_ppo", 1.0, 1.0)])
    )
    assert found.algorithms == ("moma_ppo", "bc")
    assert found.missing == ["icg/neutral moma_ppo: 2 of 3"]
    assert found.cells["icg/neutral", "bc"].interval is not None
    (duel,) = found.duels
    assert (duel.other, duel.probability) == ("bc", pytest.approx(5 / 6))
    text = tables.markdown([*made("bc", 0.0, 0.5, 1.0), *made("moma_ppo", 1.0, 1.0)], found)
    assert "| icg/neutral | 1.00 (1.00 to 1.00, n = 2) | 0.50 (0.00 to 1.00, n = 3) |" in text
    assert "Fewer than 3 seeds: icg/neutral moma_ppo: 2 of 3." in text


def test_the_seconds_to_a_score_count_what_came_before_the_rounds():
    points = tuple(Point(round=n, score=s) for n, s in ((5, 0.5), (10, 0.96), (15, 0.9)))
    spent = {"data": 1.0, "fit": 3.0, "train": 9.0, "training_rounds": 8.0, "total": 20.0}
    row = replace(ROW, curve=points, seconds=spent)  # 20 rounds
    assert rows.seconds_to(row, 0.95) == 1.0 + 3.0 + 8.0 * 10 / 20
    assert rows.seconds_to(row, 1.0) is None
    table = tables.to_score([row], comparison.compare([row]))
    assert table[1:] == [["icg/neutral", "0.95", "8 (1 of 1)"], ["icg/neutral", "1.00", "-"]]


def test_algorithms_are_compared_on_the_tasks_that_both_have():
    found = comparison.compare(
        [
            *made("moma_ppo", 1.0),
            *made("moma_ppo", 0.2, task="polygame"),
            *made("omar", 0.5, task="polygame"),
        ]
    )
    (duel,) = found.duels
    assert (duel.tasks, duel.probability, duel.interval) == (1, 0.0, None)
    assert found.overall["omar"].tasks == ("polygame/neutral",)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="no row to compare"):
        comparison.compare([])
    with pytest.raises(ValueError, match="no row of 'iql'; there are: moma_ppo"):
        comparison.compare([ROW], "iql")
    with pytest.raises(ValueError, match=r"two rows are of icg/neutral, moma_ppo, seed 0"):
        comparison.compare([ROW, ROW])
