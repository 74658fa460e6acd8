"""Resuming goes on bit for bit, and falls back to what is whole."""

import pytest
import torch

from learner import checkpoint
from learner.checkpoint import Counters
from moma_core.storage import StorageError
from tests.builders import imagine, make_config, make_ppo

CONFIG = make_config()


def learner():
    return make_ppo(CONFIG)


def train(ppo, rounds):
    """Rounds as in a run: segments from the policy's own version, then an update."""
    for _ in range(rounds):
        ppo.update([imagine(ppo.snapshot(), CONFIG, sequence=k) for k in range(2)])
    return ppo


def bits(ppo):
    return ppo.state()


def same(one, other):
    first, second = bits(one), bits(other)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def counters(version):
    return Counters(version=version, transitions=10 * version, resumes=0, seconds=1.5)


def saved(directory, versions, ppo=None):
    ppo = ppo or learner()
    for version in versions:
        train(ppo, version - ppo.version)
        checkpoint.save(directory, ppo.state(), counters(version))
    return ppo


def resumed(directory):
    ppo = learner()
    found = checkpoint.load(directory, ppo.state())
    if found is None:
        return ppo, None
    ppo.load(found[1], found[0].version)
    return ppo, found[0]


def corrupt(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.fixture(scope="module")
def straight():
    """Four rounds without a break."""
    return train(learner(), 4)


def test_a_resumed_run_ends_in_the_same_bits(tmp_path, straight):
    saved(tmp_path, [2])
    ppo, found = resumed(tmp_path)
    assert found == counters(2)
    assert ppo.version == 2
    train(ppo, 2)
    assert ppo.version == straight.version == 4
    assert same(ppo, straight)


@pytest.mark.parametrize("forgotten", ["optimiser", "scale", "version"])
def test_forgetting_any_part_of_the_state_would_show(tmp_path, straight, forgotten):
    saved(tmp_path, [2])
    ppo, _ = resumed(tmp_path)
    if forgotten == "optimiser":
        ppo._optimiser.load({})
    elif forgotten == "scale":
        ppo.scale.load_state_dict(learner().scale.state_dict())
    else:
        ppo.version = 0
    train(ppo, 2)
    assert not same(ppo, straight)


def test_the_first_checkpoint_before_any_update_can_be_resumed(tmp_path, straight):
    saved(tmp_path, [0])
    ppo, found = resumed(tmp_path)
    assert found == counters(0)
    assert same(train(ppo, 4), straight)


def test_without_checkpoints_there_is_nothing_to_resume(tmp_path):
    ppo, found = resumed(tmp_path)
    assert found is None
    assert same(ppo, learner())
    assert resumed(tmp_path / "nowhere")[1] is None
    with pytest.raises(StorageError, match="no whole checkpoint"):
        checkpoint.counters(tmp_path)


def test_the_newest_three_are_kept(tmp_path):
    saved(tmp_path, [1, 2, 3, 4])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["00000002", "00000003", "00000004", "LATEST"]
    assert (tmp_path / "LATEST").read_text().strip() == "00000004"
    assert checkpoint.newest(tmp_path).name == "00000004"
    assert checkpoint.counters(tmp_path) == counters(4)


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "delete"])
def test_loading_walks_back_past_a_spoilt_checkpoint(tmp_path, file, harm):
    older = saved(tmp_path, [1])
    expected = {name: tensor.clone() for name, tensor in bits(older).items()}
    saved(tmp_path, [2], older)
    target = tmp_path / "00000002" / file
    if harm == "delete":
        target.unlink()
    else:
        corrupt(target)
    ppo, found = resumed(tmp_path)
    assert found == counters(1)
    assert all(torch.equal(bits(ppo)[name], tensor) for name, tensor in expected.items())
    assert checkpoint.newest(tmp_path).name == "00000001"
    assert checkpoint.counters(tmp_path) == counters(1)


def test_when_all_are_spoilt_that_is_an_error_and_not_a_fresh_start(tmp_path):
    saved(tmp_path, [1, 2])
    for path in tmp_path.glob("0*"):
        corrupt(path / "tensors.safetensors")
    with pytest.raises(StorageError, match=r"no checkpoint in .* is whole: .*00000002.*00000001"):
        resumed(tmp_path)
    with pytest.raises(StorageError, match="no whole checkpoint"):
        checkpoint.counters(tmp_path)


def test_going_on_after_a_spoilt_checkpoint_replaces_it(tmp_path):
    saved(tmp_path, [1, 2])
    corrupt(tmp_path / "00000002" / "tensors.safetensors")
    ppo, _ = resumed(tmp_path)
    saved(tmp_path, [2], ppo)
    assert resumed(tmp_path)[1] == counters(2)


def test_an_interrupted_save_leaves_the_others_and_is_swept_up(tmp_path):
    saved(tmp_path, [1])
    remains = tmp_path / ".tmp-00000002-999"
    remains.mkdir()
    (remains / "tensors.safetensors").write_bytes(b"half")
    assert resumed(tmp_path)[1] == counters(1)
    assert not remains.exists()


def test_the_actors_can_be_read_alone(tmp_path):
    ppo = saved(tmp_path, [1])
    alone = checkpoint.actors(tmp_path / "00000001")
    state = ppo.actors.state_dict()
    assert alone.keys() == state.keys()
    assert all(torch.equal(alone[name], state[name]) for name in state)
    corrupt(tmp_path / "00000001" / "tensors.safetensors")
    with pytest.raises(StorageError):
        checkpoint.actors(tmp_path / "00000001")
