"""A run whose workers go on while the learner updates: through to its end, and after a resume."""

from __future__ import annotations

import json

from tests.e2e.commands import read

ROUNDS = 12


def lags(run):
    """Smallest and largest lag of every round."""
    lines = map(json.loads, (run / "events" / "metrics.jsonl").read_text().splitlines())
    return [(line["lag/min"], line["lag/max"]) for line in lines if "lag/max" in line]


def test_with_a_lag_of_one_nothing_is_older_and_some_is_as_old(moma, tmp_path):
    run = tmp_path / "run"
    small = ("--bc.rounds", "3", "--eval.every", "0", "--eval.final-episodes", "2")
    words = ("--workers", "2", "--threads", "1", "--ppo.rounds", ROUNDS, *small)
    first = moma("train", "reacher-tiny", "--run-dir", run, "--lag", "1", *words, name="first")
    assert first.wait(300) == 0, first.err
    # At first there is one policy alone; after that workers are ahead.
    found = lags(run)
    assert len(found) == ROUNDS
    assert found[0] == (0, 0)
    assert max(largest for _, largest in found) == 1
    assert read(run / "result.json")["updates"] == ROUNDS

    more = moma("train", "--resume", run, "--lag", "4", "--ppo.rounds", 2 * ROUNDS, name="more")
    assert more.wait(300) == 0, more.err
    assert len(lags(run)) == 2 * ROUNDS
    assert max(largest for _, largest in lags(run)) <= 4
    assert read(run / "result.json")["updates"] == 2 * ROUNDS


def test_what_a_lag_has_no_meaning_for_is_refused_at_once(moma):
    for words, said in (
        (("--in-process",), "--lag means nothing to --in-process"),
        (("--deterministic",), "config.deterministic must be False with a lag"),
        (("--rollout.carry",), "rollout.carry must be False with a lag"),
    ):
        command = moma("train", "reacher-tiny", "--lag", "1", *words)
        assert command.wait(60) == 2
        assert said in command.err
