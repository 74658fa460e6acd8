"""Nothing in an input is executed, followed elsewhere or believed: each attack is refused by name.

Beside each attack stands the same file without it, which is read.
"""

import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import tensorstore

from moma.log_tools.importing import ImportDataError, convert, detect, limits, open_log
from tests import logs
from tests.logs import play


class Bomb:
    """What a pickle could do to whoever opens it."""

    fired = False

    def __reduce__(self):
        return (setattr, (Bomb, "fired", True))


def read(path, kind):
    """Reads a log to its end."""
    return sum(len(episode.reward) for episode in open_log(path, kind).episodes())


def refused(path, kind, *words):
    with pytest.raises(ImportDataError) as error:
        read(path, kind)
    for word in words:
        assert word in str(error.value), f"{word!r} is not in {error.value}"
    assert not Bomb.fired


def npz(path, **change):
    np.savez(path, **{**logs.canonical(play()), **change})
    return path


def test_objects_in_an_npz_are_refused(tmp_path):
    assert read(npz(tmp_path / "good.npz"), "npz") == 13
    path = npz(tmp_path / "bad.npz", reward=np.array([Bomb()] * 13, dtype=object))
    refused(path, "npz", "reward", "objects are never loaded")
    records = np.zeros(13, [("a", np.float32)])
    refused(npz(tmp_path / "records.npz", reward=records), "npz", "reward", "no plain numbers")


@pytest.mark.parametrize("kind", ["npz", "parquet", "d4rl", "omiga"])
def test_a_pickle_in_disguise_is_refused(tmp_path, kind):
    path = tmp_path / f"log.{kind}"
    path.write_bytes(pickle.dumps(Bomb()))
    refused(path, kind, str(path))
    with pytest.raises(ImportDataError, match="A pickle is read only when it is asked for"):
        detect(path)


def test_a_pickle_as_a_member_of_an_npz_is_refused(tmp_path):
    path = npz(tmp_path / "log.npz")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("mask.npy", pickle.dumps(Bomb()))
    refused(path, "npz", "mask.npy", "no plain .npy array")


def test_an_archive_that_grows_like_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "_HARMLESS", 1 << 22)
    arrays = {"padding": np.zeros(1 << 21, np.uint8)}
    np.savez_compressed(tmp_path / "good.npz", **logs.canonical(play()), **arrays)
    assert read(tmp_path / "good.npz", "npz") == 13
    arrays["more"] = arrays["again"] = arrays["padding"]
    np.savez_compressed(tmp_path / "bomb.npz", **logs.canonical(play()), **arrays)
    refused(tmp_path / "bomb.npz", "npz", "bomb.npz", "would become", "store it uncompressed")


def test_rows_that_an_array_declares_and_does_not_have_are_missed(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f4", "fortran_order": False, "shape": (13,)}
    )
    path = tmp_path / "log.npz"
    good = {k: v for k, v in logs.canonical(play()).items() if k != "reward"}
    np.savez(path, **good)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("reward.npy", buffer.getvalue())
    refused(path, "npz", "reward", "ends before its 13 rows do")


def test_a_log_that_the_disk_cannot_hold_is_refused_before_it_is_read(tmp_path):
    with h5py.File(logs.write_d4rl(tmp_path / "d.hdf5", play()), "a") as file:
        for name in list(file):
            if name != "infos":
                shape, kind = file[name].shape, file[name].dtype
                del file[name]
                file.create_dataset(name, (10**13, *shape[1:]), kind, chunks=(64, *shape[1:]))
    log = open_log(tmp_path / "d.hdf5", "d4rl")
    with pytest.raises(ImportDataError, match=r"says it has 10000000000000 steps .* free"):
        convert(log, tmp_path / "out", task=None, time_limit=None, tell=lambda *_: None)


def test_rows_that_are_too_wide_are_refused(tmp_path):
    images = np.zeros((13, 256, 257), np.uint8)
    path = logs.write_d4rl(tmp_path / "d.hdf5", play(), observations=images, next_observations=None)
    refused(path, "d4rl", "observations", "images cannot be imported")
    refused(npz(tmp_path / "a.npz", state=np.zeros((17, 1 << 17))), "npz", "state", "a row")


def link(path, make):
    """A D4RL file whose rewards are what `make` puts there."""
    logs.write_d4rl(path, play())
    with h5py.File(path, "a") as file:
        file.move("rewards", "mine")
        make(file)
    return path


def test_links_in_hdf5_are_not_followed(tmp_path):
    hard = link(tmp_path / "hard.hdf5", lambda file: file.__setitem__("rewards", file["mine"]))
    assert read(hard, "d4rl") == 13
    other = logs.write_d4rl(tmp_path / "other.hdf5", play())
    outside = h5py.ExternalLink(str(other), "rewards")
    path = link(tmp_path / "external.hdf5", lambda file: file.__setitem__("rewards", outside))
    refused(path, "d4rl", "/rewards", "external link", "copy the data")
    inside = h5py.SoftLink("/mine")
    path = link(tmp_path / "soft.hdf5", lambda file: file.__setitem__("rewards", inside))
    refused(path, "d4rl", "/rewards", "soft link")


def test_hdf5_data_that_lie_in_other_files_are_not_read(tmp_path):
    raw = tmp_path / "raw"
    raw.write_bytes(np.arange(13, dtype=np.float32).tobytes())

    def external(file):
        file.create_dataset("rewards", (13,), np.float32, external=[(str(raw), 0, 52)])

    def virtual(file):
        layout = h5py.VirtualLayout((13,), np.float32)
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.hdf5"), "rewards", (13,))
        file.create_virtual_dataset("rewards", layout)

    for name, make in (("external", external), ("virtual", virtual)):
        path = link(tmp_path / f"{name}.hdf5", make)
        refused(path, "d4rl", "/rewards", "takes its data from other files")


def test_hdf5_objects_and_huge_blocks_are_refused(tmp_path):
    def texts(file):
        file.create_dataset("rewards", data=["a"] * 13)

    def blocks(file):
        huge = (limits.MAX_BLOCK // 4 + 1,)
        file.create_dataset("rewards", (13,), np.float32, maxshape=(None,), chunks=huge)

    refused(link(tmp_path / "a.hdf5", texts), "d4rl", "/rewards", "no plain numbers")
    refused(link(tmp_path / "b.hdf5", blocks), "d4rl", "/rewards", "smaller chunks")
    refused(link(tmp_path / "c.hdf5", lambda f: f.create_group("rewards")), "d4rl", "no array")
    refused(link(tmp_path / "d.hdf5", lambda f: f.__setitem__("rewards", 1.0)), "d4rl", "single")


def test_a_link_between_an_episode_and_its_arrays_is_not_followed(tmp_path):
    other = tmp_path / "other.hdf5"
    with h5py.File(other, "w") as file:
        file["a"] = np.zeros((4, 2))
    (tmp_path / "data").mkdir()
    space = {"type": "Dict", "subspaces": {"a": {"type": "Discrete", "n": 2, "start": 0}}}
    (tmp_path / "data/metadata.json").write_text(json.dumps({"action_space": json.dumps(space)}))
    for name, outside in (("good", None), ("bad", h5py.ExternalLink(str(other), "/"))):
        with h5py.File(tmp_path / "data/main_data.hdf5", "w") as file:
            episode = file.create_group("episode_0")
            episode["actions/a"] = np.zeros(3, np.int64)
            episode["rewards"], episode["terminations"] = np.zeros(3), np.zeros(3, np.bool_)
            if outside:
                episode["observations"] = outside
            else:
                episode["observations/a"] = np.zeros((4, 2))
        if name == "good":
            assert read(tmp_path, "minari") == 3
    refused(tmp_path, "minari", "/episode_0/observations", "external link")


def test_a_vault_with_huge_blocks_is_refused(tmp_path):
    path = logs.write_vault(tmp_path / "v", play())
    assert read(path, "og-marl") == 13
    tensorstore.open(
        {
            "driver": "zarr",
            "kvstore": {"driver": "ocdbt", "base": f"file://{path}", "path": "rewards."},
            "metadata": {"chunks": [1, 1 << 40, 2]},
        },
        shape=(1, 1 << 41, 2),
        dtype="float32",
        create=True,
        delete_existing=True,
    ).result()
    refused(path, "og-marl", "rewards.", "smaller chunks")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"structure_shape": 3}', '{"structure_shape": {"infos": 1}}']
)
def test_a_vault_without_its_description_is_refused(tmp_path, content):
    path = logs.write_vault(tmp_path / "v", play())
    (path / "metadata.json").write_text(content)
    refused(path, "og-marl", "metadata.json describes no vault")


def test_parquet_of_texts_nulls_and_ragged_lists_is_refused(tmp_path):
    path = logs.write_lerobot(tmp_path / "good", play())
    assert read(path, "lerobot") == 9
    for number, (column, word) in enumerate(
        (
            (["a"] * 13, "need numbers"),
            ([None] * 13, "need numbers"),
            ([[1.0]] * 12 + [[1.0, 2.0]], "several lengths"),
            ([[[1.0]]] * 13, "need numbers"),
            ([pickle.dumps(Bomb())] * 13, "need numbers"),
            ([1] * 12 + [None], "nulls"),
        )
    ):
        path = logs.write_lerobot(tmp_path / str(number), play(), action=column)
        refused(path, "lerobot", "action", word)


def test_parquet_that_grows_like_a_bomb_or_has_endless_rows_is_refused(tmp_path, monkeypatch):
    path = logs.write_lerobot(tmp_path / "l", play())
    zeros = pyarrow.table({"zeros": np.zeros(1 << 16)})
    bomb = path / "data/chunk-000/file-001.parquet"
    pyarrow.parquet.write_table(zeros, bomb, use_dictionary=False, compression="zstd")
    monkeypatch.setattr(limits, "_HARMLESS", 1 << 18)
    refused(path, "lerobot", "file-001.parquet", "would become")
    bomb.unlink()
    assert read(path, "lerobot") == 9
    wide = pyarrow.table({"action": [[0.0] * 100]})
    pyarrow.parquet.write_table(wide, bomb)
    monkeypatch.setattr(limits, "MAX_WIDTH", 99)
    refused(path, "lerobot", "action", "100 numbers in 1 rows")


def test_a_template_in_a_description_is_not_used(tmp_path):
    path = logs.write_lerobot(tmp_path / "l", play())
    info = json.loads((path / "meta/info.json").read_text())
    info["data_path"] = "{chunk_index.__class__.__init__.__globals__}/../../../etc/passwd"
    (path / "meta/info.json").write_text(json.dumps(info))
    assert read(path, "lerobot") == 9


def arrays():
    rows = logs.flat(play())
    return {
        "observations": [np.asfortranarray(rows["state"]), rows["state"][:, ::2]],
        "actions": [rows["action"][:, :2], rows["action"][:, 2:].astype(">f8")],
        "rewards": rows["reward"],
        "terminals": rows["terminal"],
        "timeouts": rows["timeout"],
        "next_observations": [rows["next"], rows["next"][:, ::2]],
        "seed": np.float64(3.0),
        "name": "reacher",
    }


@pytest.mark.parametrize("protocol", range(6))
def test_pickled_arrays_are_read_whatever_their_protocol(tmp_path, protocol):
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps(arrays(), protocol=protocol))
    log = open_log(path, "moma-ppo-pickle")
    episodes = list(log.episodes())
    assert [len(e.reward) for e in episodes] == [3, 5, 1, 4]
    for one, episode in zip(play(), episodes, strict=True):
        np.testing.assert_array_equal(episode.features[:, :5], one.state)
        np.testing.assert_array_equal(episode.features[:, 5:], one.state[:, ::2])
        np.testing.assert_array_equal(episode.action, np.concatenate(one.action, axis=1))
        np.testing.assert_array_equal(episode.reward[:, 0], one.reward)


class Calls:
    """Pickles as a call of anything with anything."""

    def __init__(self, function, *given):
        self.call = (function, given)

    def __reduce__(self):
        return self.call


class Built(Calls):
    """Pickles as a call whose outcome is given a state."""

    def __init__(self, function, given, state):
        super().__init__(function, *given)
        self.state = state

    def __reduce__(self):
        return (*self.call, self.state)


def reconstruct(dtype, content):
    """An array of hostile parts, as a pickle makes one."""
    empty = (np.ndarray, (0,), b"b")
    return Built(np._core.multiarray._reconstruct, empty, (1, (13,), dtype, False, content))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Bomb(), "asks for builtins.setattr, which is not loaded"),
        (Calls(os.system, "true"), "system, which is not loaded"),
        (Calls(eval, "1"), "asks for builtins.eval"),
        (OrderedDict(a=1), "asks for collections.OrderedDict"),
        (np.array([Bomb()], dtype=object), "holds an array of 'O8'"),
        (np.zeros(13, [("a", "<f4")]), "holds an array of"),
        (np.array(["text"] * 13), "holds an array of"),
        (Calls(np.dtype, "O"), "holds an array of 'O'"),
        (Calls(np.ndarray, (10**12,)), "not callable"),
        (Built(np.dtype, ("f4",), {"__globals__": 1}), "set.pkl"),
        (reconstruct(np.dtype("f4"), [0] * 13), "holds an array of objects"),
        (reconstruct("f4", b"0" * 52), "holds an array of objects"),
        (reconstruct(np.dtype("f4"), b"0" * 51), "set.pkl"),
        (Calls(np._core.numeric._frombuffer, 10**15, np.dtype("f4"), (13,), "C"), "objects"),
        (Calls(np._core.numeric._frombuffer, b"1234", np.dtype("f4"), (10**12,), "C"), "reshape"),
        ("text", "rewards must be an array of numbers"),
        ([1.0] * 13, "rewards must be an array of numbers"),
    ],
)
def test_a_pickle_can_do_nothing_but_build_arrays_of_numbers(tmp_path, value, words):
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps({**arrays(), "rewards": value}))
    refused(path, "moma-ppo-pickle", words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.", "the encoding 'hex'"),
        (b"c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01sb.", "change something that is no array"),
        (b"cnumpy\ndtype\n}X\x01\x00\x00\x00aK\x01sb.", "change something that is no array"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "set.pkl"),
        (b"\x80\x02]r\xff\xff\xff\xff.", "must hold a dictionary"),
        (b"(lp0\n", "set.pkl"),
        (b"", "set.pkl"),
        (b"].", "must hold a dictionary"),
        (b"}X\x01\x00\x00\x00aK\x01s.", "rewards, terminals; it holds 'a'"),
    ],
)
def test_a_pickle_made_by_hand_gets_no_further(tmp_path, content, words):
    path = tmp_path / "set.pkl"
    path.write_bytes(content)
    refused(path, "moma-ppo-pickle", words)
