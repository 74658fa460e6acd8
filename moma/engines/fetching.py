"""Fetches a run's model from its learner by digest, and believes nothing that does not match."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from moma_core import documents
from moma_core.ports import Run
from moma_core.storage import MANIFEST, StorageError, verify

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\.(safetensors|json)")
_MANIFEST_BYTES = 2**20
_MODEL_BYTES = 16 * 2**30


def fetch(run: Run, digest: str, target: Path) -> None:
    """Writes a model's directory.

    Args:
        run: whose model it is.
        digest: SHA-256 of its manifest.
        target: an empty directory.

    Raises:
        StorageError: what came is not the model of that digest, or no model at all.
    """
    _file(run, digest, target / MANIFEST, _MANIFEST_BYTES)
    found = hashlib.sha256((target / MANIFEST).read_bytes()).hexdigest()
    if found != digest:
        raise StorageError(f"the model's manifest has digest {found[:12]}, need {digest[:12]}")
    files = documents.read(target / MANIFEST)["files"]
    if sum(int(entry["size"]) for entry in files.values()) > _MODEL_BYTES:
        raise StorageError(f"the model is larger than {_MODEL_BYTES} bytes")
    for name, entry in files.items():
        if not _NAME.fullmatch(name):
            raise StorageError(f"{name[:80]!r} is no name of a model's file")
        _file(run, digest, target / name, int(entry["size"]))
    verify(target)


def _file(run: Run, digest: str, path: Path, most: int) -> None:
    """Fetches one file, part by part, of so many bytes at most."""
    written = 0
    with path.open("wb") as file:
        while (part := run.fetch_model(digest, path.name, written)).data:
            written += len(part.data)
            if max(written, part.size) > most:
                raise StorageError(f"{path.name} has more than its {most} bytes")
            file.write(part.data)
            if written == part.size:
                return
