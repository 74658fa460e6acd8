"""Files are whole or absent, and nobody changes them unnoticed."""

import json
import shutil
from pathlib import Path

import pytest

from moma_core import storage
from moma_core.storage import StorageError, new_directory, verify, write_text


@pytest.fixture
def kept(tmp_path):
    """A directory written whole."""
    with new_directory(tmp_path / "kept") as aside:
        (aside / "a.bin").write_bytes(bytes(range(200)))
        (aside / "b.txt").write_text("hello")
    return tmp_path / "kept"


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_new_directory_appears_whole_with_a_manifest_and_nothing_beside_it(kept):
    assert names(kept) == ["a.bin", "b.txt", "manifest.json"]
    assert names(kept.parent) == ["kept"]
    verify(kept)


def test_nothing_is_at_the_target_before_the_end(tmp_path):
    with new_directory(tmp_path / "x" / "new") as aside:
        (aside / "file").write_text("1")
        assert not (tmp_path / "x" / "new").exists()
    assert (tmp_path / "x" / "new" / "file").read_text() == "1"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_leaves_the_target_as_it_was(kept, error):
    def interrupted():
        with new_directory(kept) as aside:
            (aside / "a.bin").write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    verify(kept)
    assert (kept / "a.bin").read_bytes() == bytes(range(200))
    assert names(kept.parent) == ["kept"]


def test_a_target_that_exists_is_replaced_whole(kept):
    with new_directory(kept) as aside:
        (aside / "c").write_text("new")
    assert names(kept) == ["c", "manifest.json"]
    assert names(kept.parent) == ["kept"]


def test_a_failing_rename_leaves_the_target_as_it_was(kept, monkeypatch):
    rename = Path.rename

    def failing(self, target):
        if Path(target) == kept and (self / "c").exists():
            raise OSError("no more")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)

    def replace():
        with new_directory(kept) as aside:
            (aside / "c").write_text("new")

    with pytest.raises(OSError, match="no more"):
        replace()
    assert (kept / "a.bin").read_bytes() == bytes(range(200))
    assert names(kept.parent) == ["kept"]


def test_what_a_killed_writer_left_is_cleared_by_the_next(tmp_path):
    remains = tmp_path / ".tmp-new-123"
    remains.mkdir()
    (remains / "half").write_text("x")
    with new_directory(tmp_path / "new") as aside:
        (aside / "file").write_text("1")
    assert names(tmp_path) == ["new"]


def test_a_writer_killed_between_its_two_renames_has_not_lost_the_old_directory(kept):
    # What such a kill leaves: the old content aside under its interim name, nothing at the target.
    kept.rename(kept.parent / ".old-kept")

    def interrupted():
        with new_directory(kept):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    holders = [path for path in kept.parent.iterdir() if (path / "a.bin").exists()]
    assert holders, "the only copy was deleted before a new one was there"


@pytest.mark.parametrize("offset", [0, 1, 100, 199])
def test_a_flipped_bit_is_noticed_at_any_offset(kept, offset):
    content = bytearray((kept / "a.bin").read_bytes())
    content[offset] ^= 1
    (kept / "a.bin").write_bytes(content)
    with pytest.raises(StorageError, match=r"a\.bin has changed"):
        verify(kept)


def test_truncation_growth_and_deletion_are_noticed(kept):
    whole = (kept / "b.txt").read_text()
    for changed in (whole[:-1], whole + "!", ""):
        (kept / "b.txt").write_text(changed)
        with pytest.raises(StorageError, match=r"b\.txt has changed"):
            verify(kept)
    (kept / "b.txt").unlink()
    with pytest.raises(StorageError, match=r"b\.txt is missing"):
        verify(kept)
    shutil.rmtree(kept)
    with pytest.raises(StorageError, match="cannot be read"):
        verify(kept)


def rewrite(directory, change):
    manifest = json.loads((directory / "manifest.json").read_text())
    changed = change(manifest)
    text = json.dumps(manifest if changed is None else changed)
    (directory / "manifest.json").write_text(text)


@pytest.mark.parametrize("name", ["../outside", "sub/../../outside", "sub/inner", ".", ""])
def test_a_manifest_may_not_name_files_elsewhere(kept, name):
    # The files exist and their entries are right, so only the path can be what is refused.
    (kept / "sub").mkdir()
    for path in (kept.parent / "outside", kept / "sub" / "inner"):
        path.write_text("hello")
    rewrite(kept, lambda m: m["files"].update({name: m["files"]["b.txt"]}))
    with pytest.raises(StorageError, match="is missing"):
        verify(kept)


def test_a_manifest_may_not_name_an_absolute_path(kept):
    outside = kept.parent / "outside"
    outside.write_text("hello")
    rewrite(kept, lambda m: m["files"].update({str(outside): m["files"]["b.txt"]}))
    with pytest.raises(StorageError, match="is missing"):
        verify(kept)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(schema=2),
        lambda m: m.pop("schema"),
        lambda m: m.pop("files"),
        lambda m: m.update(files=[1]),
        lambda m: m.update(files={"a.bin": 5}),
        lambda _: [1],
        lambda _: "text",
    ],
)
def test_a_malformed_manifest_is_refused(kept, change):
    rewrite(kept, change)
    with pytest.raises(StorageError, match=r"manifest\.json"):
        verify(kept)


def test_write_text_replaces_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "note"
    write_text(path, "old")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["note"]

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_text(path, "newer")
    assert path.read_text() == "new"


def test_digest_is_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert storage.digest(tmp_path / "f") == expected
