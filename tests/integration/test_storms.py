"""Kills and flipped bytes, as often as every change affords; `tests/long` has hundreds of them."""

from __future__ import annotations

import pytest
import torch

from learner import checkpoint
from tests.storms import EXPECTED, Memory, flip_bytes, kill_savers

KILLS, FLIPS = 6, 50


@pytest.mark.reliability(1, "ckpt_kill9_random")
def test_a_kill_at_any_moment_of_saving_leaves_the_last_checkpoint_whole(tmp_path, record_property):
    """A process that saves all the time is killed.

    Symptom: the learner was killed, or the power went, while a checkpoint was written.
    Cause: SIGKILL, out of memory, a machine that stops.
    What we do: a checkpoint is written aside, flushed and renamed; what is half written is removed at the next start.
    What you do: nothing under `moma train`; else `moma train --resume RUN`.
    """  # noqa: E501
    memory = Memory(tmp_path / "memory.json")
    kill_savers(tmp_path / "checkpoints", memory, KILLS)
    record(record_property, memory, "torn")
    assert memory["torn"] == 0
    # Negative control: a checkpoint that was written in place is told from a whole one.
    newest = checkpoint.newest(tmp_path / "checkpoints")
    tensors = newest / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1000])
    assert checkpoint.newest(tmp_path / "checkpoints") != newest


@pytest.mark.reliability(20, "ckpt_bitrot")
def test_a_flipped_byte_anywhere_is_seen_and_the_older_checkpoint_taken(tmp_path, record_property):
    """One byte is flipped, or a file cut short.

    Symptom: "this checkpoint is passed over for an older one" in the learner's log.
    Cause: a file of the newest checkpoint has changed since it was written, or holds no policy.
    What we do: every file's digest is compared before it is parsed; the newest whole one is gone on from.
    What you do: look after the disk; nothing else, some rounds are made again.
    """  # noqa: E501
    memory = Memory(tmp_path / "memory.json")
    flip_bytes(tmp_path / "checkpoints", memory, FLIPS)
    record(record_property, memory, "missed")
    assert memory["missed"] == 0
    # Negative control: untouched, the newer one is taken.
    assert checkpoint.load(tmp_path / "checkpoints", EXPECTED)[0].version == 2
    assert torch.equal(EXPECTED["actors.weight"], torch.zeros(400, 400))


def record(record_property, memory, failed):
    """Tells the scorecard what was tried and what passed."""
    record_property("tried", memory["tried"])
    record_property("passed", memory["tried"] - memory[failed])
    if memory["worst"]:
        record_property("worst_s", round(memory["worst"], 2))
