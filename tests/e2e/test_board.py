"""`moma board`: TensorBoard of some runs by their names, on loopback, opened on what matters."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import urllib.request
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from moma.evaluation.film import animated
from tests.e2e.browser import HEIGHT, needs_chromium, page
from tests.e2e.commands import until

QUICK = ("--algorithm", "bc", "--bc.rounds", "2", "--bc.updates", "5", "--in-process")
_LOAD_S = 60
CARDS = 11
"""Cards that the page opens on, of a run that did not look at the environment on its way: six that
are pinned, five of the first group."""


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


def scored(url):
    """Runs whose curves and final score are there, by name."""
    tags = asked(url, "/data/plugin/scalars/tags")
    needed = {"eval/return", "final/return", "final/score"}
    return sorted(run for run, of in tags.items() if needed <= set(of))


def seeds(url):
    """Seeds in the table of hyper-parameters; none before there is one."""
    query = {"experimentName": "", "colParams": [], "sliceSize": 10}
    query |= {"allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_RUNNING"]}
    try:
        lines = asked(url, "/data/plugin/hparams/session_groups", query)["sessionGroups"]
    except HTTPError:
        return []
    return sorted(line["hparams"]["seed"] for line in lines)


def test_runs_have_names_and_what_matters_comes_first(board):
    served, url = board
    assert urlsplit(url).hostname == "127.0.0.1"
    pinned = json.loads(parse_qs(urlsplit(url).query)["pinnedCards"][0])
    assert [card["tag"] for card in pinned][:2] == ["eval/return", "final/return"]
    shown = ["run-0", "run-0 pictures", "run-1", "run-1 pictures"]
    until(lambda: sorted(asked(url, "/data/runs")) == shown, _LOAD_S, "runs and their pictures")
    until(lambda: scored(url) == ["run-0", "run-1"], _LOAD_S, "scores")  # a run is named first
    layout = "/data/plugin/custom_scalars/layout"
    until(lambda: asked(url, layout).get("category"), _LOAD_S, "layout")
    groups = [group["title"] for group in asked(url, layout)["category"]]
    assert groups == ["worth", "how sure", "learning", "machine"]
    until(lambda: "config" in str(asked(url, "/data/plugin/text/tags")), _LOAD_S, "settings")
    until(lambda: seeds(url) == [0, 1], _LOAD_S, "lines of both runs")
    served.process.send_signal(signal.SIGTERM)
    assert served.wait(20) == 0, served.err
    assert served.err == ""


@needs_chromium
def test_the_first_screen_shows_return_and_estimate_and_every_card_is_drawn(moma, alone):
    served = moma("board", alone, "--port", "0")
    said = until(lambda: re.search(r"run: (http\S+)", served.out), 120, "address", served)
    until(lambda: len(pictures(said[1])) == 5, _LOAD_S, "five pictures")
    until(lambda: "estimate/return" in curves(said[1]), _LOAD_S, "the estimate")
    with page(_LOAD_S) as (shown, requests):
        shown.goto(said[1])
        shown.locator("scalar-card").nth(3).wait_for()
        assert {"final/return", "estimate/return"} <= on_the_first_screen(shown)
        until(lambda: len(drawn(shown)) == CARDS, _LOAD_S, f"{CARDS} cards that are drawn")
        assert shown.locator("scalar-card").count() == CARDS
        shown.goto(f"{said[1].partition('?')[0]}#images")
        until(lambda: shown.locator("tf-image-loader img").count() == 5, _LOAD_S, "five pictures")
        until(lambda: min(widths(shown)) > 0, _LOAD_S, "pictures that are drawn")
        assert all(urlsplit(url).hostname in ("127.0.0.1", None) for url in requests)


def pictures(url):
    """Tags of the run's pictures."""
    return asked(url, "/data/plugin/images/tags").get("run pictures", {})


def curves(url):
    """Tags of the run's numbers."""
    return asked(url, "/data/plugin/scalars/tags").get("run", {})


def drawn(shown):
    """Tags of the cards in whose chart something has a colour; a chart's grid is grey."""
    found = []
    for card in shown.locator("scalar-card").all():
        chart = Image.open(io.BytesIO(card.locator("line-chart .series-view").screenshot()))
        colours = np.asarray(chart.convert("RGB"), int)
        if np.count_nonzero(np.ptp(colours, axis=2) > 20) > 10:
            found.append(tag(card))
    return found


def on_the_first_screen(shown):
    """Tags of the cards that are seen whole before anything is scrolled."""
    boxes = {tag(card): card.bounding_box() for card in shown.locator("scalar-card").all()}
    return {name for name, box in boxes.items() if 0 <= box["y"] <= HEIGHT - box["height"]}


def tag(card):
    """A card's tag."""
    return card.locator("tb-truncated-path").first.get_attribute("title")


def widths(shown):
    """Widths of the pictures as they were decoded; 0: it could not be."""
    return shown.locator("img").evaluate_all("all => all.map(one => one.naturalWidth)")


@needs_chromium
def test_a_reports_pictures_are_drawn_and_nothing_is_fetched(moma, alone, tmp_path):
    run = shutil.copytree(alone, tmp_path / "run")
    frames = [np.full((20, 20, 3), level, np.uint8) for level in (0, 200)]
    (run / "team.gif").write_bytes(animated(frames))
    written = moma("report", run)
    assert written.wait(120) == 0, written.err
    with page(_LOAD_S) as (shown, requests):
        shown.goto((run / "report.html").as_uri())
        assert len(widths(shown)) == 9
        assert min(widths(shown)) > 0
        assert [url for url in requests if not url.startswith("data:")] == [shown.url]


def test_a_run_that_is_none_is_refused(moma):
    for words, why in ((("nowhere",), "holds no run"), ((), "which run?")):
        refused = moma("board", *words)
        assert refused.wait(60) == 2
        assert why in refused.err
