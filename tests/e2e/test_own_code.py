"""docs/own_task.md and docs/own_dynamics.md: what they show is what happens."""

from __future__ import annotations

import json
import re

import pytest
import torch

from moma_core.address import Address
from moma_core.rpc.dynamics import DynamicsClient
from moma_core.types import Query
from tests.e2e.commands import read, until

QUICK = ("--algorithm", "bc", "--bc.rounds", "1", "--bc.updates", "5", "--in-process")


def shown(root, page):
    """The program of a page."""
    (program,) = re.findall(r"```python\n(.*?)```", (root / "docs" / page).read_text(), re.DOTALL)
    return program


@pytest.fixture
def own(request, tmp_path):
    """A directory with both programs."""
    root = request.config.rootpath
    (tmp_path / "my_tasks.py").write_text(shown(root, "own_task.md"))
    (tmp_path / "my_dynamics.py").write_text(shown(root, "own_dynamics.md"))
    return tmp_path


def test_a_task_of_ones_own_is_made_trained_and_measured_where_the_call_names_it(own, moma):
    made = moma("data", "make", "my_tasks:task", "--out", "log", "--transitions", "400")
    assert made.wait(120) == 0, made.err
    words = ("train", "--data", "log", "--task", "my_tasks:task", "--run-dir", "run", *QUICK)
    trained = moma(*words)
    assert trained.wait(120) == 0, trained.err
    result = read(own / "run" / "result.json")
    assert result["score"] == pytest.approx(result["return_mean"] / 7 + 1)
    named = moma("evaluate", "run", "--task", "my_tasks:task")
    assert named.wait(120) == 0, named.err
    assert f"score {result['score']:.3f}" in named.out
    (own / "my_tasks.py").write_text("open('sang', 'w').close()\n")
    unnamed = moma("evaluate", "run")
    assert unnamed.wait(120) == 2
    assert "no environment and no model" in unnamed.err
    resumed = moma("train", "--resume", "run", "--in-process")
    assert resumed.wait(120) == 2
    assert "task my_tasks:task is code, and code is run only where the call names it" in resumed.err
    assert not (own / "sang").exists()
    assert json.loads((own / "run" / "config.json").read_text())["task"] == "my_tasks:task"


def test_dynamics_of_ones_own_are_served(own, moma):
    served = moma("serve", "--dynamics", "my_dynamics:make", "--announce", "where.json")
    until((own / "where.json").exists, 60, "address", served)
    address = Address.parse(read(own / "where.json")["address"])
    remote = DynamicsClient(address)
    assert remote.describe().digest == "my line, version 1"
    query = Query(
        state=torch.zeros(1, 2),
        action=torch.tensor([[[1.0], [-0.5]]]),
        age=torch.zeros(1, dtype=torch.int64),
        seed=torch.zeros(1, dtype=torch.int64),
    )
    answer = remote.predict(query)
    remote.close()
    assert answer.next_state.tolist() == [pytest.approx([0.2, -0.1])]
    assert answer.reward.tolist() == [pytest.approx(-0.3)]


@pytest.mark.usefixtures("own")
def test_what_is_no_dynamics_is_refused(moma):
    wrong = moma("serve", "--dynamics", "my_tasks:task")
    assert wrong.wait(60) == 2
    assert "has to make a Dynamics (describe, predict, metrics), got Task" in wrong.err
    both = moma("serve", "--dynamics", "my_dynamics:make", "--simulator", "reacher-leader")
    assert both.wait(60) == 2
    assert "serve what? one of --model RUN" in both.err
