"""Learners that share an update: whose rows are whose, and what is refused."""

import json
import os

import pytest
import torch
from torch.distributed import TCPStore

from learner import rendezvous
from learner.algorithms.group import ALONE, Group
from moma_core.stopping import StoppedError
from tests.builders import free_port


@pytest.mark.parametrize("learners", [1, 2, 3, 5])
@pytest.mark.parametrize("rows", [1, 2, 7, 2560])
def test_shares_are_all_rows_once_and_their_weights_sum_to_one(rows, learners):
    groups = [Group(rank, range(learners)) for rank in range(learners)]
    taken = [n for g in groups if g.weight(rows) for n in range(rows)[g.share(rows)]]
    assert taken == list(range(rows))
    assert sum(group.weight(rows) for group in groups) == pytest.approx(1)
    # Who has no row still computes one, since the mean over none is no number; it weighs nothing.
    for group in groups:
        count = len(range(rows)[group.share(rows)])
        assert count == group.weight(rows) * rows or (count, group.weight(rows)) == (1, 0)


def test_a_learner_alone_asks_nobody_and_changes_nothing():
    gradient, rows = torch.tensor([3.0, 4.0]), [torch.ones(2), torch.zeros(1)]
    ALONE.join(gradient, torch.tensor(torch.nan), 0.5)
    assert torch.equal(gradient, torch.tensor([3.0, 4.0]))
    assert torch.equal(ALONE.rows(rows, [2, 1]), torch.cat(rows))
    assert torch.equal(ALONE.mean(rows[0], 2), rows[0])


@pytest.mark.parametrize("rank", [2, 7])
def test_a_learner_that_the_run_does_not_have_is_refused(tmp_path, rank):
    with pytest.raises(ValueError, match=f"--rank {rank}: the run has --learners 2"):
        rendezvous.join(tmp_path / "learners.json", rank, 2, "cpu", lambda: False)


def test_fewer_gpus_than_learners_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    refused = pytest.raises(
        ValueError, match="--learners 2 with --device cuda needs a GPU for each"
    )
    with refused, rendezvous.leading(tmp_path / "learners.json", 2, "cuda", lambda: False):
        raise AssertionError("it began")


def test_threads_are_shared_and_one_learner_has_what_was_asked_for():
    assert [rendezvous.threads(8, learners) for learners in (1, 2, 3, 16)] == [8, 4, 2, 1]
    assert rendezvous.threads(0, 1) == 0


def first_learner(place):
    """One that listens, and says where."""
    store = TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
    place.write_text(json.dumps({"port": store.port, "pid": 1}))
    return store


def test_a_learner_that_is_started_again_waits_until_the_first_one_is(tmp_path):
    place, looks = tmp_path / "learners.json", iter([False] * 4 + [True] * 9)
    with pytest.raises(StoppedError):  # nobody is there yet
        rendezvous._found(place, 1, lambda: next(looks))
    first = first_learner(place)
    assert rendezvous._found(place, 1, lambda: False).check(["process/1"])
    assert rendezvous._found(place, 2, lambda: False).check(["process/2"])
    looks = iter([False] * 4 + [True])
    with pytest.raises(StoppedError):  # of that group it was part, and is no more
        rendezvous._found(place, 1, lambda: next(looks))
    after = first_learner(place)
    assert int(rendezvous._found(place, 1, lambda: False).get("process/1")) == os.getpid()
    del first, after


def test_where_the_first_learner_has_ended_nobody_is_found(tmp_path):
    place = tmp_path / "learners.json"
    place.write_text(json.dumps({"port": free_port(), "pid": 1}))
    looks = iter([False] * 3 + [True])
    with pytest.raises(StoppedError, match="waiting for the first learner"):
        rendezvous._found(place, 1, lambda: next(looks))
