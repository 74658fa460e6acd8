"""`moma_core/pb` is what `scripts/proto` makes of `proto/`: nobody edited it or forgot it."""

from __future__ import annotations

import subprocess

import pytest

GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def contents(directory):
    """Text of every generated file by name."""
    return {path.name: path.read_text() for kind in GENERATED for path in directory.glob(kind)}


@pytest.fixture(scope="module")
def generated(root, tmp_path_factory):
    """What the script makes now."""
    out = tmp_path_factory.mktemp("proto")
    command = ["bash", str(root / "scripts" / "proto"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return contents(out / "moma_core" / "pb")


def test_the_committed_code_is_the_generated_code(root, generated):
    committed = contents(root / "moma_core" / "pb")
    sources = list((root / "proto" / "moma_core" / "pb").glob("*.proto"))
    assert len(generated) == 4 * len(sources) > 0
    assert committed.keys() == generated.keys()
    for name, text in generated.items():
        assert committed[name] == text, f"{name}: run scripts/proto"


def test_an_edited_file_would_be_seen(root, generated):
    edited = contents(root / "moma_core" / "pb")
    edited["tensor_pb2.py"] += "# by hand\n"
    assert edited != generated
