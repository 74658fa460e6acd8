"""Learners that share an update: whose rows are whose, and what is refused."""

import pytest
import torch

from learner import rendezvous
from learner.algorithms.group import ALONE, Group


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
