"""Features that take few values: found, numbered, drawn whole, expected as what they average to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model_server.world_model import codes
from model_server.world_model.codes import Codes
from model_server.world_model.ensemble import Ensemble
from moma_core import seeds
from moma_core.datasets import Dataset, EpisodeWriter
from tests.builders import SPEC, make_config, random_action


def log(path, state_of, episodes=12, length=8):
    """A log whose states are `state_of(random, step)`."""
    random = np.random.default_rng(0)
    with EpisodeWriter(SPEC, path, {"maker": "tests"}) as writer:
        for _ in range(episodes):
            states = np.stack([state_of(random, step) for step in range(length + 1)])
            actions = np.stack([random_action(random) for _ in range(length)])
            writer.add(
                states.astype(np.float32), actions, np.zeros(length, np.float32), terminated=False
            )
    return Dataset.load(path)


def one_hot_and_noise(random, _):
    """Three features that are a one-hot, one that counts to 16, one that is continuous."""
    return [*np.eye(3)[random.integers(3)], random.integers(16), random.normal()]


def test_features_with_few_values_are_coded_and_a_continuous_one_is_not(tmp_path):
    data = log(tmp_path / "log", one_hot_and_noise)
    found = codes.find(data, range(5))
    assert sorted(found.features.tolist()) == [0, 1, 2, 3]
    assert found.features.tolist()[-1] == 3, "fewest values first"
    assert len(found) == len(np.unique(data.state[:, :4], axis=0)) <= 3 * 16
    assert len(codes.find(data, [4])) == 0
    # A feature with a seventeenth value is continuous.
    wide = log(tmp_path / "wide", lambda r, s: [*np.eye(3)[r.integers(3)], 2 * s, r.normal()], 2)
    assert 3 in codes.find(wide, range(5)).features
    wider = log(tmp_path / "wider", lambda r, _: [*np.eye(3)[r.integers(3)], r.integers(17), 0], 99)
    assert 3 not in codes.find(wider, range(5)).features


def test_joint_values_stay_few(tmp_path, monkeypatch):
    data = log(tmp_path / "log", one_hot_and_noise, episodes=40)
    monkeypatch.setattr(codes, "_CODES", 20)
    found = codes.find(data, range(5))
    assert found.features.tolist() == [0, 1, 2]
    assert found.values.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_a_log_read_in_parts_has_the_same_codes(tmp_path, monkeypatch):
    from moma_core.datasets import mapped

    data = log(tmp_path / "log", one_hot_and_noise)
    whole = codes.find(data, range(5))
    monkeypatch.setattr(mapped, "_CHUNK", 7 * 20)
    parts = codes.find(data, range(5))
    assert torch.equal(whole.features, parts.features)
    assert torch.equal(whole.values, parts.values)


def test_every_state_of_the_log_has_the_code_whose_values_it_holds(tmp_path):
    data = log(tmp_path / "log", one_hot_and_noise)
    found, state = codes.find(data, range(5)), torch.from_numpy(np.array(data.state))
    code = found.encode(state)
    assert torch.equal(found.values[code], state[:, found.features])
    assert code.unique().tolist() == list(range(len(found)))
    assert not Codes.none().encode(state).any()


def test_codes_are_drawn_by_their_probabilities_and_one_of_none_never():
    share = torch.tensor([0.2, 0.0, 0.5, 0.3, 0.0])
    uniform = seeds.uniform(seeds.rows(0, 20_000))
    assert ((uniform >= 0) & (uniform < 1)).all()
    drawn = codes.pick(share.log().expand(20_000, 5), uniform)
    found = drawn.bincount(minlength=5) / 20_000
    torch.testing.assert_close(found, share, atol=0.015, rtol=0)
    assert found[1] == found[4] == 0
    edges = codes.pick(share.log().expand(2, 5), torch.tensor([0.0, 1 - 2**-24]))
    assert edges.tolist() == [0, 3]


@pytest.mark.parametrize("units", ["standardised", "raw"])
def test_expected_values_are_those_of_the_codes_by_hand(tmp_path, units):
    data = log(tmp_path / "log", one_hot_and_noise)
    config = replace(make_config().model, units=units)
    found = codes.find(data, range(5))
    ensemble = Ensemble(SPEC, config, members=3, terminates=False, codes=found)
    rows = data.rows(np.arange(20))
    ensemble.units.fit([data.rows(np.arange(data.transitions))])
    inputs = ensemble.units.inputs(rows.state, rows.action, rows.age)
    with torch.no_grad():
        said = ensemble(inputs.expand(3, *inputs.shape), found.encode(rows.next_state))
        expected = ensemble.expected(inputs, said)
    weight = said.code_logit.softmax(-1)
    for member in range(3):
        after = ensemble.units.next_state(rows.state, expected.mean[member, :, :-1])
        slow = sum(weight[member, :, c, None] * found.values[c] for c in range(len(found)))
        torch.testing.assert_close(after[:, found.features], slow, rtol=1e-4, atol=1e-4)
    scale = ensemble.units.output_std * ensemble.units.state_std
    spread = expected.log_variance[..., found.features].exp() * scale[found.features] ** 2
    squares = sum(
        weight[..., c, None] * (found.values[c] - weight @ found.values) ** 2
        for c in range(len(found))
    )
    torch.testing.assert_close(spread, squares, rtol=1e-2, atol=1e-4)
    # What is not coded stays as the networks said it.
    rest = [4, 5]
    assert torch.equal(expected.mean[..., rest], said.mean[..., rest])
    assert torch.equal(expected.log_variance[..., rest], said.log_variance[..., rest])
