"""An expert's online training with its roles as processes, and in one: the same bits."""

from __future__ import annotations

from safetensors.torch import load_file

from tests.e2e.commands import differing, read

ROUNDS = 3
SMALL = (
    "--eval.no-film",
    *(
        "--checkpoint-every",
        "1",
        "--ppo.rounds",
        ROUNDS,
        "--rollout.rows",
        "128",
    ),
    *("--eval.every", "0", "--eval.final-episodes", "2", "--threads", "1", "--deterministic"),
)


def tensors(run, version):
    return load_file(run / "checkpoints" / f"{version:08d}" / "tensors.safetensors")


def test_the_simulator_behind_a_socket_trains_the_same_expert_bit_for_bit(moma, tmp_path):
    runs = {"one": ("--in-process",), "four": ("--workers", "2")}
    commands = [
        moma("train", "hopper-expert", "--run-dir", tmp_path / name, *how, *SMALL, name=name)
        for name, how in runs.items()
    ]
    for command in commands:
        assert command.wait(60) == 0, command.err
    for version in range(1, ROUNDS + 1):
        one, four = (tensors(tmp_path / name, version) for name in runs)
        assert any(name.startswith("carried.") for name in one)
        assert differing(one, four) == []
    assert differing(one, tensors(tmp_path / "four", ROUNDS - 1)) != []
    result = read(tmp_path / "four" / "result.json")
    assert (result["mode"], result["faults"], result["updates"]) == ("distributed", [], ROUNDS)
    assert len(result["processes"]) == 4
    assert result["score"] == read(tmp_path / "one" / "result.json")["score"]
