"""A model that is fetched is the one that its digest names, or none."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

import pytest

from learner.desk import Desk
from model_server.world_model import files
from moma.engines.fetching import fetch
from moma_core.ports import InvalidFieldError, Run
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.learner import serve_learner
from moma_core.rpc.run import RunClient
from moma_core.storage import MANIFEST, StorageError, digest
from moma_core.types import ModelPart
from tests.integration.parts import make_service


@pytest.fixture
def desk(run, tmp_path):
    """The desk of a run that has a model."""
    return Desk(tmp_path / "said.json", lambda: None, run.model)


@pytest.fixture
def named(run):
    """The digest of the run's model."""
    return digest(run.model / MANIFEST)


class Spoilt(Desk):
    """A desk whose answers are changed on their way."""

    def __init__(self, model, change):
        super().__init__(model.parent / "never.json", lambda: None, model)
        self._change = change

    def fetch_model(self, digest, file, offset):
        return self._change(file, super().fetch_model(digest, file, offset))


def spoil(file, data):
    """Changes the answers for one file."""
    return lambda name, part: replace(part, data=data(part.data)) if name == file else part


@pytest.fixture
def target(tmp_path):
    """An empty directory."""
    path = tmp_path / "fetched"
    path.mkdir()
    return path


def test_a_model_comes_over_the_wire_bit_for_bit(run, desk, named, target, monkeypatch):
    monkeypatch.setattr("learner.desk._PART", 1000)  # so that files come in many parts
    assert isinstance(desk, Run)
    server = serve_learner(make_service(run), Endpoint(), desk)
    with closing(RunClient(server.address)) as client:
        assert isinstance(client, Run)
        fetch(client, named, target)
    server.stop(0.0)
    assert sorted(path.name for path in target.iterdir()) == sorted(
        path.name for path in run.model.iterdir()
    )
    for path in target.iterdir():
        assert path.read_bytes() == (run.model / path.name).read_bytes()
    assert files.load(target).describe() == files.load(run.model).describe()


@pytest.mark.parametrize(
    ("file", "data", "why"),
    [
        (MANIFEST, lambda data: data.replace(b"size", b"sizE"), "manifest has digest"),
        ("model.safetensors", lambda data: bytes(len(data)), "has changed since it was written"),
        ("model.safetensors", lambda data: data + b"x", "more than its"),
        ("card.json", lambda data: data.replace(b"1", b"2"), "has changed since it was written"),
    ],
)
def test_what_does_not_match_is_no_model(run, named, target, file, data, why):
    with pytest.raises(StorageError, match=why):
        fetch(Spoilt(run.model, spoil(file, data)), named, target)


@pytest.mark.parametrize("name", ["../card.json", "a/b.json", "model.pkl", "x.json\n", ""])
def test_a_file_with_another_kind_of_name_is_not_written(target, tmp_path, name):
    manifest = json.dumps({"schema": 1, "files": {name: {"size": 1, "sha256": "0"}}}).encode()

    class Hostile(Desk):
        def fetch_model(self, digest, file, offset):  # noqa: ARG002
            data = manifest if file == MANIFEST else b"x"
            return ModelPart(data=data[offset:], size=len(data))

    (tmp_path / MANIFEST).write_bytes(manifest)
    hostile = Hostile(tmp_path / "said.json", lambda: None)
    with pytest.raises(StorageError, match="is no name of a model's file"):
        fetch(hostile, digest(tmp_path / MANIFEST), target)
    assert [path.name for path in target.iterdir()] == [MANIFEST]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"digest": "0" * 64}, "digest"),
        ({"file": "../config.json"}, "file"),
        ({"file": "config.json.bak"}, "file"),
        ({"offset": -1}, "offset"),
        ({"offset": 10**9}, "offset"),
    ],
)
def test_a_desk_hands_out_the_models_files_and_nothing_else(desk, named, changed, field):
    asked = {"digest": named, "file": "card.json", "offset": 0}
    assert desk.fetch_model(**asked).data
    with pytest.raises(InvalidFieldError, match=f"{field}: "):
        desk.fetch_model(**(asked | changed))


def test_a_run_without_a_model_has_none_to_hand_out(tmp_path):
    with pytest.raises(InvalidFieldError, match="is not the run's model"):
        Desk(tmp_path / "said.json", lambda: None).fetch_model("", MANIFEST, 0)
