"""`moma tasks` says of every task what a user has to know before choosing it."""

from __future__ import annotations

import pytest

from moma.cli import main as cli
from moma_core import tasks


@pytest.fixture
def lines(capsys):
    """The table, line by line."""
    assert cli.main(["tasks"]) == 0
    return capsys.readouterr().out.splitlines()


def test_every_task_has_its_line_in_one_table(lines):
    head, *rows = lines
    assert head.split()[0] == "task"
    assert [row.split()[0] for row in rows] == list(tasks.NAMES)
    assert len({len(line) for line in lines}) == 1


def test_a_line_holds_agents_widths_limit_data_and_reference_returns(lines):
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert rows["icg"] == "2 4 one of 2 4 10 favourable, neutral, unfavourable 5.000 10.000"
    assert rows["reacher-leader"] == "2 8/6 1 10 50 scripted, c, d, mix -11.145 -4.237"
    assert rows["polygame-plus"] == "2 1 1 1 1 modes 0.000 1.000"
