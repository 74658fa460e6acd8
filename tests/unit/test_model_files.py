"""A fitted model on disk: the same bits back, and no believing of what was changed."""

import json
import shutil

import numpy as np
import pytest
import torch

from model_server.world_model import files
from model_server.world_model.fit import fit
from moma_core import seeds
from moma_core.storage import StorageError, digest
from tests.builders import make_config, make_query

CONFIG = make_config().model


@pytest.fixture(scope="module")
def saved(terminal_dataset, tmp_path_factory):
    """A model fitted to data with terminals, as it was saved."""
    path = tmp_path_factory.mktemp("models") / "model"
    fitted = fit(terminal_dataset, CONFIG, 3, lambda _: None)
    return path, files.save(fitted, terminal_dataset, 3, path)


def answers(model, dataset):
    rows = dataset.rows(np.arange(30))
    age, seed = torch.arange(30) % dataset.spec.episode_limit, seeds.rows(1, 30)
    return model.predict(make_query(state=rows.state, action=rows.action, age=age, seed=seed))


def test_a_loaded_model_answers_with_the_same_bits(saved, terminal_dataset):
    path, model = saved
    loaded = files.load(path)
    assert loaded.describe() == model.describe()
    first, second = (answers(m, terminal_dataset) for m in (model, loaded))
    for name, value in vars(first).items():
        other = getattr(second, name)
        assert value == other if name == "model" else torch.equal(value, other), name


def test_the_card_says_what_the_model_is(saved, terminal_dataset):
    path, model = saved
    card = model.describe()
    assert card.task == terminal_dataset.spec
    assert (card.members, len(card.elites), card.terminates) == (3, 2, True)
    assert card.digest == digest(path / "model.safetensors")
    levels = sorted(card.disagreement_quantiles, key=float)
    values = [card.disagreement_quantiles[level] for level in levels]
    assert values == sorted(values)
    assert values[0] > 0


def test_predictions_stay_within_the_datas_box(saved, terminal_dataset):
    data, (_, model) = terminal_dataset, saved
    rows = data.rows(np.arange(data.transitions))
    seed = seeds.rows(1, data.transitions)
    age = torch.zeros_like(seed)
    far = model.predict(make_query(state=rows.state * 50, action=rows.action, age=age, seed=seed))
    low, high = (torch.from_numpy(f(data.state, 0)) for f in (np.min, np.max))
    assert ((far.next_state >= low) & (far.next_state <= high)).all()
    assert ((far.next_state == low) | (far.next_state == high)).any()
    assert far.reward.min() >= float(data.reward.min())
    assert far.reward.max() <= float(data.reward.max())


def test_the_report_holds_what_was_measured(saved):
    report = files.report(saved[0])
    assert set(report) == {"held_out", "along_episodes"}
    assert len(report["held_out"]["rmse"]) == 6
    assert report["along_episodes"]["episodes"] > 0
    text = (saved[0] / "report.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the report"))


@pytest.fixture
def copy(saved, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(saved[0], tmp_path / "model")


@pytest.mark.parametrize("offset", [10, -1])
def test_tampered_weights_are_refused(copy, offset):
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[offset] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(StorageError, match=r"model\.safetensors has changed"):
        files.load(copy)


def test_a_tampered_card_and_a_missing_config_are_refused(copy):
    card = (copy / "card.json").read_text()
    (copy / "card.json").write_text(card.replace('"terminates": true', '"terminates": false'))
    with pytest.raises(StorageError, match=r"card\.json has changed"):
        files.load(copy)
    (copy / "card.json").write_text(card)
    (copy / "config.json").unlink()
    with pytest.raises(StorageError, match=r"config\.json is missing"):
        files.load(copy)
