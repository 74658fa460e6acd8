"""`moma train` from nothing to a score, with five processes, into a file."""

from __future__ import annotations

import json
import math
import re
import signal
from pathlib import Path

from moma_core.runtime.run import RunDirectory
from tests.e2e.commands import EXACT, ROUNDS, alive, differing, pids_of, tensors, until
from tests.integration import tags

FIELDS = {
    "task": str,
    "seed": int,
    "mode": str,
    "score": float,
    "return_mean": float,
    "return_ci95": list,
    "episodes": int,
    "transitions": int,
    "updates": int,
    "seconds": dict,
    "transitions_per_second": float,
    "processes": list,
    "versions": dict,
}


def result_of(run):
    return json.loads((run / "result.json").read_text())


def test_it_ends_well_and_its_last_line_says_what_came_out(distributed):
    assert distributed.status == 0, distributed.err
    result = result_of(distributed.run)
    last = distributed.out.splitlines()[-1]
    low, high = result["return_ci95"]
    assert f"score {result['score']:.3f}" in last
    assert f"return {result['return_mean']:.2f}" in last
    assert f"interval {low:.2f} to {high:.2f}" in last
    for phase in ("data", "fit", "clone", "train", "evaluate"):
        assert re.search(rf"{phase} \d+ s", last)
    board = re.search(r"moma board (\S+?);", last)[1]
    assert list((distributed.directory / board / "events").glob("events.out.tfevents.*"))


def test_into_a_file_it_writes_plain_lines(distributed):
    for text in (distributed.out, distributed.err):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    lines = distributed.out.splitlines()
    assert [line for line in lines if line.startswith("[train]")]
    assert "fault" not in distributed.err


def test_result_json_holds_what_a_reader_needs(distributed):
    result = result_of(distributed.run)
    assert {name: type(result.get(name)) for name in FIELDS} == FIELDS
    assert (result["task"], result["seed"], result["mode"]) == ("reacher-leader", 0, "distributed")
    low, high = result["return_ci95"]
    assert low <= result["return_mean"] <= high
    assert math.isfinite(result["score"])
    assert (result["updates"], result["faults"], result["resumes"]) == (ROUNDS, [], 0)
    assert result["transitions"] > ROUNDS * 256
    assert result["transitions_per_second"] > 0
    assert {"data", "fit", "train", "evaluate"} <= result["seconds"].keys()
    assert {"python", "torch", "mujoco", "gymnasium", "code"} <= result["versions"].keys()
    assert all(result["versions"].values())


def test_its_roles_were_processes_of_their_own_on_loopback(distributed):
    processes = result_of(distributed.run)["processes"]
    roles = [entry["role"] for entry in processes]
    assert roles == ["model-server-0", "model-server-1", "learner", "worker-0", "worker-1"]
    assert len({distributed.pid, *(entry["pid"] for entry in processes)}) == 6
    addresses = [entry["address"] for entry in processes]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", address) for address in addresses[:3])
    assert len(set(addresses[:3])) == 3
    assert [entry["restarts"] for entry in processes] == [0] * 5
    assert alive(pids_of(distributed.run)) == []


def test_five_processes_learn_what_one_does_bit_for_bit(distributed, alone, other_seed):
    one, five = tensors(alone), tensors(distributed.run)
    assert any(name.startswith("optimiser.") for name in one)
    assert differing(one, five) == []
    assert differing(one, tensors(other_seed)) != []
    same = ("score", "return_mean", "return_ci95", "transitions", "updates")
    a, b = result_of(alone), result_of(distributed.run)
    assert {name: a[name] for name in same} == {name: b[name] for name in same}
    assert (a["mode"], a["processes"]) == ("in-process", [])


def test_its_tags_are_those_of_the_documentation(distributed):
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    run = RunDirectory.open(distributed.run)
    docs, written = tags.documented(text), tags.written(run)
    assert tags.undocumented(written, docs) == []
    assert tags.unwritten(written, docs, run.config(), distributed=True) == []


def test_a_learner_started_by_hand_clones_the_log_before_it_learns(moma, alone, tmp_path):
    announce = tmp_path / "server.json"
    server = moma("serve", "--model", alone / "model", "--announce", announce, name="server")
    until(announce.exists, 30, "address", server)
    address = re.search(r"127\.0\.0\.1:\d+", announce.read_text())[0]
    where = ("--model-server", address, "--run-dir", "run")
    learner = moma("learn", "reacher-tiny", *where, *EXACT, name="learner")
    clone = tmp_path / "run" / "clones" / "bc" / "tensors.safetensors"
    until(clone.exists, 60, "clone", learner)
    assert "cloning the log's agents first" in learner.err
    # The same bits as those that a run of its own phases begins with.
    assert clone.read_bytes() == (alone / "clones" / "bc" / clone.name).read_bytes()
    learner.process.send_signal(signal.SIGTERM)
    assert learner.wait(20) == 3, learner.err
