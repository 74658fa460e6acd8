"""Files that are whole or absent: written aside, flushed, digested, renamed. Never pickle."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from moma_core import documents

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "manifest.json"
_SCHEMA = 1


class StorageError(ValueError):
    """A directory that was written here is incomplete or has changed since."""


def write_text(path: Path, text: str) -> None:
    """Replaces the file at `path` by `text`, whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces the file at `path` by `content`, whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise _at(path, error) from error
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _flush(path.parent)


@contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """Yields an empty directory; on a clean exit it becomes `target`, with a manifest of digests.

    A `target` that exists is replaced. After an error nothing is left and `target` is as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    replaced = target.parent / f".old-{target.name}"
    _recover(target, replaced)
    drop_remains(target.parent, target.name)
    aside = target.parent / f".tmp-{target.name}-{os.getpid()}"
    aside.mkdir()
    try:
        yield aside
        files = {path.name: _entry(path) for path in sorted(aside.iterdir())}
        write_text(aside / MANIFEST, json.dumps({"schema": _SCHEMA, "files": files}, indent=1))
        if target.exists():
            target.rename(replaced)
        aside.rename(target)
        _flush(target.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    except BaseException as error:
        _recover(target, replaced)
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError):
            raise _at(target, error) from error
        raise


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes tensors by name.

    Raises:
        OSError: the disk does not take them.
    """
    from safetensors import SafetensorError  # here, for commands that need no torch
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error), str(path)) from error


def _at(path: Path, error: OSError) -> OSError:
    """Returns the error with the path of what could not be written."""
    return OSError(error.errno, f"cannot write {path}: {error.strerror or error}")


def _recover(target: Path, replaced: Path) -> None:
    """Finishes or takes back a replacement that was interrupted between its two renames."""
    if replaced.exists() and not target.exists():
        replaced.rename(target)
    shutil.rmtree(replaced, ignore_errors=True)


def drop_remains(parent: Path, name: str) -> None:
    """Removes what an interrupted `new_directory` for `name` left in `parent`."""
    for stale in parent.glob(f".tmp-{name}-*"):
        shutil.rmtree(stale, ignore_errors=True)


def verify(directory: Path) -> None:
    """Compares every file with the manifest, before anything is parsed.

    Raises:
        StorageError: naming the file that is missing, of another size, or changed.
    """
    try:
        manifest = documents.read(directory / MANIFEST)
        entries = {str(name): dict(entry) for name, entry in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{directory / MANIFEST} cannot be read: {error}") from error
    if manifest.get("schema") != _SCHEMA:
        raise StorageError(
            f"{directory / MANIFEST}: schema {manifest.get('schema')}, need {_SCHEMA}"
        )
    for name, entry in entries.items():
        path = directory / name
        if path.parent != directory or not path.is_file():
            raise StorageError(f"{path} is missing")
        if _entry(path) != entry:
            raise StorageError(f"{path} has changed since it was written (size or SHA-256 differs)")


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return {"size": path.stat().st_size, "sha256": digest(path)}


def _flush(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
