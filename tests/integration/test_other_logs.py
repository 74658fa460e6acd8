"""What was made from one log is refused beside another, and nothing is written."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from model_server.world_model import files
from moma_core import checks
from moma_core.datasets import digest_of
from moma_core.rpc import pool
from rollout_workers.worker import Worker
from tests.builders import write_dataset
from tests.integration.parts import make_service, serving

FIT = (
    "--model.members", "2", "--model.elites", "2", "--model.width", "8", "--model.depth", "1",
    "--model.updates", "20", "--model.evaluate-every", "20",
)  # fmt: skip
CLONE = ("--algorithm", "bc", "--bc.rounds", "2", "--in-process")


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Two logs of one team."""
    place = tmp_path_factory.mktemp("logs")
    return [write_dataset(place / f"log-{seed}", 40, seed=seed).path for seed in (0, 1)]


def other_part(cli, logs, tmp_path, words, part):
    """The run of the first log that holds a part of the second one's; its files before."""
    runs = [tmp_path / f"run-{number}" for number in (0, 1)]
    for log, run in zip(logs, runs, strict=True):
        cli(words[0], "--data", log, "--run-dir", run, *words[1:])
    assert (runs[1] / part).is_dir()
    shutil.rmtree(runs[0] / part)
    shutil.copytree(runs[1] / part, runs[0] / part)
    return runs[0], (runs[0] / "config.json").read_bytes()


def told(logs):
    first, second = (digest_of(log)[:12] for log in logs)
    return f"was made from another log: SHA-256 {second}, this run's log has {first}"


def test_a_model_of_another_log_is_refused_by_both_digests(cli, capsys, logs, tmp_path):
    run, before = other_part(cli, logs, tmp_path, ("fit", *FIT), "model")
    assert cli("train", "--resume", run, "--ppo.rounds", "7") == 2
    said = capsys.readouterr().err
    assert f"the model at {run / 'model'} {told(logs)}" in said
    assert (run / "config.json").read_bytes() == before


def test_a_checkpoint_of_another_log_is_refused_by_both_digests(
    cli, capsys, logs, tmp_path, monkeypatch
):
    """A run's checkpoints were copied to another run.

    Symptom: "the checkpoint RUN/checkpoints/N was made from another log: SHA-256 A, ... has B".
    Cause: Files of one run were copied into another one.
    What we do: It is refused before anything is learned; a model or a model's server as well.
    What you do: Go on with the run that it belongs to, or begin a new one.
    """
    words = ("train", *CLONE)
    run, _ = other_part(cli, logs, tmp_path, words, "checkpoints")
    assert cli("train", "--resume", run, "--bc.rounds", "3", "--in-process") == 2
    said = capsys.readouterr().err
    assert f"the checkpoint {run / 'checkpoints' / '00000002'} {told(logs)}" in said
    # Negative control: without the comparison the run would go on with it.
    monkeypatch.setattr("learner.build.check_log", lambda *_: None)
    assert cli("train", "--resume", run, "--bc.rounds", "3", "--in-process") == 0


def test_a_server_of_a_model_of_another_log_is_refused(run, model):
    log = files.card(run.model).data_sha256
    assert len(log) == 64
    with serving(model) as (_, address):
        ask = ([address], model.describe().task, lambda: False, print)
        assert pool.wait_for(*ask, data_sha256=log) == model.describe()
        with pytest.raises(
            ValueError, match=f"SHA-256 {log[:12]}, this run's log has ffffffffffff"
        ):
            pool.wait_for(*ask, data_sha256="f" * 64)


def test_a_worker_of_such_a_server_is_refused(run, model):
    service = make_service(run)
    Worker(service, model, "w")
    service._card = replace(service.describe(), data_sha256="f" * 64)
    with pytest.raises(ValueError, match="this run's log has ffffffffffff"):
        Worker(service, model, "w")


def test_what_a_model_was_made_from_may_be_unknown(model):
    card = replace(model.describe(), data_sha256="")
    checks.check_model(card, card.task, "hand", "f" * 64)
