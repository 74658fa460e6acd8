"""The learner takes servers of one model, and counts what they do together."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from moma_core.rpc import pool
from moma_core.rpc.dynamics import DynamicsClient
from moma_core.stopping import StoppedError
from tests.builders import free_address
from tests.integration.parts import make_rows, serving


class Named:
    """A model under another name."""

    def __init__(self, inner, digest):
        self._card = replace(inner.describe(), digest=digest)
        self.predict, self.metrics = inner.predict, inner.metrics

    def describe(self):
        return self._card


@pytest.fixture
def serve():
    """Serves a model; the server ends with the test."""
    with ExitStack() as started:
        yield lambda model: started.enter_context(serving(model))[1]


def never():
    return False


def test_two_servers_of_one_model_are_one_model_and_their_counts_add_up(serve, model):
    card = model.describe()
    addresses = [serve(model), serve(model)]
    assert pool.wait_for(addresses, card.task, never, print) == card
    for address, rows in zip(addresses, (3, 5), strict=True):
        client = DynamicsClient(address)
        client.predict(make_rows(card, rows))
        client.close()
    asked = [*addresses, free_address()]  # the last one is away
    with closing(pool.Watched(asked)) as watched:
        found = watched.metrics()
    assert (found["model_server/rows"], found["model_server/requests"]) == (8, 2)
    assert found["model_server/rows_per_batch"] == 4


def test_servers_of_two_models_are_refused(serve, model):
    addresses = [serve(model), serve(Named(model, "other"))]
    with pytest.raises(ValueError, match="hold different models") as refusal:
        pool.wait_for(addresses, model.describe().task, never, print)
    assert all(part in str(refusal.value) for part in (*map(str, addresses), "other"))


def test_no_server_at_all_is_refused_in_so_many_words(model):
    with pytest.raises(ValueError, match="no model server is named"):
        pool.wait_for([], model.describe().task, never, print)


def test_whoever_waits_for_a_server_that_is_away_can_be_stopped(serve, model):
    away = free_address()
    with pytest.raises(StoppedError, match=str(away)):
        pool.wait_for([away, serve(model)], model.describe().task, lambda: True, print)


@pytest.mark.parametrize("words", [("--threads", "2"), ("--threads", "1", "--device", "cuda")])
@pytest.mark.usefixtures("one_thread")
def test_batches_are_run_where_they_are_awaited_only_one_at_a_time_and_on_the_cpu(
    cli, run, capsys, words
):
    assert cli("serve", "--model", run.model, "--direct", *words) == 2
    assert "--direct needs a model on the CPU and --threads 1" in capsys.readouterr().err
