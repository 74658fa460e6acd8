"""`scripts/bench` around its sections: flags, status, what is written where."""

import json

import pytest
import torch

from benchmarks.speed import command
from benchmarks.speed.machine import Reading
from benchmarks.speed.table import Row
from moma.engines.supervision import RoleError


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    """Runs the command with one section of a test's own; returns status, JSON, output, errors."""

    def run(section, percent=0.0):
        monkeypatch.setattr(command, "SECTIONS", {"forward": section})
        monkeypatch.setattr(command, "shapes", lambda _: [])
        monkeypatch.setattr(command.machine, "look", lambda: Reading(percent=percent))
        monkeypatch.setattr(command.signal, "signal", lambda *_: None)
        path = tmp_path / "result.json"
        words = ["--only", "forward", "--sizes", "small", "middle", "--json", str(path)]
        status = command.main(words)
        result = json.loads(path.read_text()) if path.exists() else None
        return status, result, *capsys.readouterr()

    return run


def measured(_, size):
    return [Row(name="forward", size=size.name, rates=(2.0,))]


def test_chosen_sections_are_measured_for_chosen_sizes(bench):
    status, result, out, err = bench(measured)
    assert (status, err) == (0, "")
    assert [row["size"] for row in result["rows"]] == ["small", "middle"]
    assert out.splitlines()[1].split()[:2] == ["forward", "small"]
    assert result["machine"]["busy"] is False


def test_a_busy_machine_is_in_the_result(bench):
    status, result, _, err = bench(measured, percent=50.0)
    assert status == 0
    assert result["machine"]["busy"] is True
    assert result["machine"]["others_percent"] == {
        "before the start": 50.0,
        "after forward of small": 50.0,
        "after forward of middle": 50.0,
    }
    assert err.count("warning: ") == 3


def test_what_is_found_wrong_is_said_after_the_table(bench):
    def wrong(ground, size):
        ground.wrong.append(f"{size.name}: other weights")
        return measured(ground, size)

    status, result, out, err = bench(wrong)
    assert status == 1
    assert "error: small: other weights\nerror: middle: other weights\n" in err
    assert "forward" in out
    assert len(result["rows"]) == 2


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (RoleError("a worker ended"), 1, "error: a worker ended\n"),
        (KeyboardInterrupt(), 3, "stopped; nothing is kept\n"),
    ],
)
def test_a_benchmark_that_ends_early_leaves_no_result(bench, error, status, said):
    places = []

    def ends(ground, _):
        places.append(ground.scratch)
        raise error

    assert bench(ends) == (status, None, "", said)
    assert not places[0].exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sizes", "smal"], "'smal'; it takes: small, middle, published, demo"),
        (["--only", "matmul"], "'matmul'; it takes: forward, rollout, grpc, update, training"),
        (["--workers", "0"], "must be 1 or more each, got [0]"),
        (["--only", "forward", "--profile"], "--only leaves it out"),
        (["--device", "cuda"], "torch finds no CUDA GPU here"),
        (["--json", "nowhere/at/all.json"], "there is no such directory"),
    ],
)
def test_a_wrong_flag_is_one_line_that_says_what_there_is(words, said, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --")
    assert said in line
