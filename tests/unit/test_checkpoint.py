"""Resuming goes on bit for bit, and falls back to what is whole."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from learner import checkpoint
from learner.checkpoint import Counters
from moma_core.storage import StorageError, new_directory
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


def rewritten(path, change):
    """A checkpoint whose content was changed and whose manifest was made anew to match."""
    tensors, state = (
        load_file(path / "tensors.safetensors"),
        json.loads((path / "state.json").read_text()),
    )
    change(tensors, state)
    with new_directory(path) as aside:
        save_file(tensors, aside / "tensors.safetensors")
        (aside / "state.json").write_text(json.dumps(state))


NO_POLICY = {
    "not finite": (lambda t, _: t["actors.head.weight"].fill_(float("nan")), "is not finite"),
    "a tensor is missing": (lambda t, _: t.pop("actors.head.weight"), "is nothing"),
    "another shape": (lambda t, _: t.update({"actors.head.weight": torch.zeros(3)}), r"is \[3"),
    "another dtype": (
        lambda t, _: t.update({"actors.head.weight": t["actors.head.weight"].double()}),
        "float64",
    ),
    "version -1": (lambda _, s: s.update(version=-1), "no counters"),
    "another version": (lambda _, s: s.update(version=7), "no counters"),
    "a field too many": (lambda _, s: s.update(colour="red"), "colour"),
}


@pytest.mark.parametrize("which", NO_POLICY)
def test_one_whose_content_is_no_policy_is_passed_over_though_its_manifest_matches(
    tmp_path, caplog, which
):
    saved(tmp_path, [1, 2])
    rewritten(tmp_path / "00000002", lambda *_: None)
    assert resumed(tmp_path)[1] == counters(2)  # negative control: rewriting alone harms nothing
    change, words = NO_POLICY[which]
    rewritten(tmp_path / "00000002", change)
    assert resumed(tmp_path)[1] == counters(1)
    assert "passed over for an older one" in caplog.text
    rewritten(tmp_path / "00000001", change)
    with pytest.raises(StorageError, match=words):
        resumed(tmp_path)


def test_bytes_that_are_no_tensors_are_passed_over(tmp_path):
    saved(tmp_path, [1, 2])
    state = (tmp_path / "00000002" / "state.json").read_text()
    with new_directory(tmp_path / "00000002") as aside:
        (aside / "tensors.safetensors").write_bytes(b"x" * 100)
        (aside / "state.json").write_text(state)
    assert resumed(tmp_path)[1] == counters(1)
    assert checkpoint.newest(tmp_path).name == "00000001"
    with pytest.raises(StorageError):
        checkpoint.actors(tmp_path / "00000002")


def test_what_somebody_reads_is_not_deleted_meanwhile(tmp_path):
    ppo = saved(tmp_path, [1, 2, 3])
    with checkpoint.held(tmp_path):
        checkpoint.save(tmp_path, ppo.state(), counters(4))
        assert (tmp_path / "00000001").is_dir()
    checkpoint.save(tmp_path, ppo.state(), counters(5))  # negative control: held by nobody
    assert sorted(p.name for p in tmp_path.glob("0*")) == ["00000003", "00000004", "00000005"]
