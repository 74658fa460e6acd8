"""`moma board`: TensorBoard of some runs by their names, on loopback, opened on what matters."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import urllib.request
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.commands import until

QUICK = ("--algorithm", "bc", "--bc.rounds", "2", "--bc.updates", "5", "--in-process")
_LOAD_S = 60


@pytest.fixture
def board(moma):
    """A board of two runs, and the address that it names."""
    for seed in ("0", "1"):
        words = ("--run-dir", f"run-{seed}", "--seed", seed, "--eval.every", "1")
        trained = moma("train", "icg", *QUICK, *words)
        assert trained.wait(240) == 0, trained.err
    served = moma("board", "run-0", "run-1", "--port", "0")
    said = until(lambda: re.search(r"run-0, run-1: (http\S+)", served.out), 120, "address", served)
    return served, said[1]


def asked(url, path, data=None):
    """What the board answers, as JSON."""
    place = urlsplit(url)
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(f"http://{place.netloc}{path}", data=body)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=_LOAD_S) as answer:
        return json.loads(answer.read())


def looked_at(browser, url, tmp_path):
    """The page as a browser has drawn it, as text."""
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'own'}"]
    words += ["--virtual-time-budget=60000", "--window-size=1600,1400", "--dump-dom", url]
    done = subprocess.run(
        [browser, *words], capture_output=True, text=True, timeout=150, check=True
    )
    return done.stdout


def test_runs_have_names_and_what_matters_comes_first(board, tmp_path):
    served, url = board
    assert urlsplit(url).hostname == "127.0.0.1"
    pinned = json.loads(parse_qs(urlsplit(url).query)["pinnedCards"][0])
    assert [card["tag"] for card in pinned][:2] == ["eval/return", "final/return"]
    until(lambda: len(asked(url, "/data/runs")) == 2, _LOAD_S, "runs")
    assert [run.split("/")[0] for run in asked(url, "/data/runs")] == ["run-0", "run-1"]
    tags = asked(url, "/data/plugin/scalars/tags")
    assert all({"eval/return", "final/return", "final/score"} <= set(of) for of in tags.values())
    groups = [
        group["title"] for group in asked(url, "/data/plugin/custom_scalars/layout")["category"]
    ]
    assert groups == ["worth", "how sure", "learning", "machine"]
    until(lambda: "config" in str(asked(url, "/data/plugin/text/tags")), _LOAD_S, "settings")
    query = {"experimentName": "", "allowedStatuses": [], "colParams": [], "sliceSize": 10}
    query |= {"allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_RUNNING"]}
    lines = asked(url, "/data/plugin/hparams/session_groups", query)["sessionGroups"]
    seeds = sorted(line["hparams"]["seed"] for line in lines)
    assert seeds == [0, 1]
    if browser := shutil.which("chromium"):
        drawn = looked_at(browser, url, tmp_path)
        assert drawn.count("<scalar-card-component") >= 2
        assert drawn.index("eval/return") < drawn.index("charts/SPS")
    served.process.send_signal(signal.SIGTERM)
    assert served.wait(20) == 0, served.err
    assert served.err == ""


def test_a_run_that_is_none_is_refused(moma):
    for words, why in ((("nowhere",), "holds no run"), ((), "which run?")):
        refused = moma("board", *words)
        assert refused.wait(60) == 2
        assert why in refused.err
