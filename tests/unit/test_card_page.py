"""`moma data card`: one page that says everything, loads nothing, and trusts no name."""

import base64
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib import import_module

import numpy as np
import pytest
from jinja2 import UndefinedError

from moma.cli import main as cli
from moma_core.datasets import EpisodeWriter
from tests.unit.spoilt import copy_of, put
from tests.unit.teams import choices, task

NAMES = {
    "agents": ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "$x^{$"),
    "state_names": ("</td></table><b>", "$\\frac{$ & co"),
    "name": "<iframe src='http://example.org'>",
}
ORIGIN = {"<u>maker</u>": "<a href='javascript:alert(3)'>me</a>", "list": ["<i>"]}


class Reader(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self):
        super().__init__()
        self.tags, self.sources, self.text, self.attributes = set(), [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    """The page of a log with two conventions and hostile names, as text."""
    random, path = np.random.default_rng(0), tmp_path_factory.mktemp("card") / "log"
    with EpisodeWriter(replace(task(3, 2, discrete=True), **NAMES), path, ORIGIN) as writer:
        for action in choices(random, 60, (0.5, 0.5), 0.1, 3):
            state = np.zeros((3, 2), np.float32)
            state[1:, 0] = action[0, 0]
            reward = np.ones(2, np.float32)
            writer.add(state, np.float32([action, action]), reward, terminated=False)
    assert cli.main(["data", "card", str(path)]) == 0
    return (path / "card.html").read_text()


@pytest.fixture(scope="module")
def read(card):
    reader = Reader()
    reader.feed(card)
    reader.close()
    return reader


def test_the_page_holds_no_element_that_a_log_brought(read):
    ours = {"html", "head", "meta", "title", "style", "body", "main", "section", "div", "span"}
    ours |= {"h1", "h2", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "img"}
    assert read.tags == ours | {"details", "summary"}
    assert not [name for name in read.attributes if name.startswith("on")]


def test_names_and_origin_are_there_as_text(read):
    text = "".join(read.text)
    for name in (*NAMES["agents"], *NAMES["state_names"], NAMES["name"], *ORIGIN):
        assert name in text
    assert ORIGIN["<u>maker</u>"] in text


def test_nothing_is_loaded_and_every_picture_is_inside(read, card):
    assert len(read.sources) == 4
    for source in read.sources:
        kind, _, content = source.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content).startswith(b"\x89PNG")
    assert "default-src 'none'" in card
    assert "url(" not in card
    assert "<script" not in card


def test_the_page_says_what_is_in_the_log(read):
    text = " ".join(" ".join(read.text).split())
    assert "This log holds several conventions: at the first step." in text
    assert "60 episodes 120 transitions 3 agents" in text
    assert "state: always 0" in text
    assert re.search(r"SACo, values as they are 0\.\d{4}", text)
    assert "0 of 60 episodes were terminated by the task, 60 truncated" in text


def test_a_log_with_errors_has_no_card(dataset, tmp_path, capsys):
    log = copy_of(dataset, tmp_path / "log")
    put(log, "state", (3, 1), np.nan)
    put(log, "reward", 5, np.inf)
    assert cli.main(["data", "card", str(log), "--out", str(tmp_path / "card.html")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {log} holds 2 errors, the first: state: NaN in b; see")
    assert said.count("\n") == 1
    assert not (tmp_path / "card.html").exists()


def test_without_matplotlib_one_line_says_what_to_install(dataset, tmp_path, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("moma.reports.card")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    log = copy_of(dataset, tmp_path / "log")
    assert cli.main(["data", "card", str(log)]) == 2
    assert capsys.readouterr().err == (
        'error: pictures need matplotlib: pip install "moma-ppo[data]"\n'
    )


def test_a_hostile_feature_is_escaped_wherever_it_stands(card):
    for name in NAMES["state_names"]:
        assert name not in card
    assert '<td class="text">&lt;/td&gt;&lt;/table&gt;&lt;b&gt;</td>' in card
    assert "$\\frac{$ &amp; co" in card
    assert "task &lt;iframe src=&#39;http://example.org&#39;&gt;" in card


def test_what_the_template_is_not_given_is_an_error(monkeypatch, dataset, tmp_path):
    page = import_module("moma.reports.card.page")
    monkeypatch.setattr(page, "conventions", lambda *_: {"rows": []})
    with pytest.raises(UndefinedError, match="'fewest'"):
        cli.main(["data", "card", str(copy_of(dataset, tmp_path / "log"))])
