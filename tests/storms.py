"""Faults in numbers, for the tests of every change and the long ones: kills and flipped bytes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import torch

from learner import checkpoint
from moma_core.storage import StorageError

_WRITER = """
import sys
from pathlib import Path
import torch
from learner import checkpoint
from learner.checkpoint import Counters
from tests.storms import EXPECTED
version, place = int(sys.argv[2]), Path(sys.argv[1])
while True:
    version += 1
    counters = Counters(version=version, transitions=version, resumes=0, seconds=0.0)
    state = {name: torch.full_like(tensor, version) for name, tensor in EXPECTED.items()}
    checkpoint.save(place, state, counters)
    print(version, flush=True)
"""
EXPECTED = {"actors.weight": torch.zeros(400, 400), "optimiser.moments": torch.zeros(1000)}
"""What a checkpoint of these tests holds: some hundred kilobytes, as small runs have."""


class Memory:
    """What a storm has come to, kept in a file so that it goes on where it stopped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found = json.loads(path.read_text()) if path.exists() else {}

    def add(self, **counts: float) -> None:
        """Adds counts; `worst` is a maximum."""
        for name, value in counts.items():
            before = self.found.get(name, 0)
            self.found[name] = max(before, value) if name == "worst" else before + value
        self.path.write_text(json.dumps(self.found))

    def __getitem__(self, name: str) -> float:
        return self.found.get(name, 0)


def kill_savers(place: Path, memory: Memory, kills: int, seed: int = 0) -> None:
    """Kills a process that saves all the time, at random instants, until `kills` in all."""
    place.mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed + int(memory["tried"]))
    while memory["tried"] < kills:
        found = checkpoint.load(place, EXPECTED)
        last = 0 if found is None else found[0].version
        words = [sys.executable, "-c", _WRITER, str(place), str(last)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as saver:
            saver.stdout.readline()
            time.sleep(draw.uniform(0.0, 0.2))
            saver.kill()
            told = saver.stdout.read().split()
        acknowledged = int(told[-1]) if told else last + 1
        begun = time.monotonic()
        whole = _whole(place, acknowledged)
        memory.add(tried=1, torn=not whole, worst=time.monotonic() - begun)


def _whole(place: Path, acknowledged: int) -> bool:
    try:
        counters, tensors = checkpoint.load(place, EXPECTED)
    except (StorageError, TypeError):
        return False
    same = all(bool((tensor == counters.version).all()) for tensor in tensors.values())
    return same and counters.version >= acknowledged and not list(place.glob(".tmp-*"))


def flip_bytes(place: Path, memory: Memory, flips: int, seed: int = 0) -> None:
    """Flips a byte of the newest of two checkpoints, or cuts it short, until `flips` in all."""
    draw = random.Random(seed + int(memory["tried"]))
    for version in (1, 2):
        state = {name: torch.full_like(tensor, version) for name, tensor in EXPECTED.items()}
        counters = checkpoint.Counters(version=version, transitions=0, resumes=0, seconds=0.0)
        checkpoint.save(place, state, counters)
    files = sorted((place / "00000002").iterdir())
    while memory["tried"] < flips:
        path = draw.choice(files)
        good = path.read_bytes()
        spoilt = bytearray(good)
        spoilt[draw.randrange(len(good))] ^= 1 << draw.randrange(8)
        path.write_bytes(spoilt if draw.random() < 0.9 else good[: draw.randrange(len(good))])
        found = checkpoint.load(place, EXPECTED)
        path.write_bytes(good)
        memory.add(tried=1, missed=found is None or found[0].version != 1)
