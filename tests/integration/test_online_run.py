"""Online in the simulator, in one process: bits over a resume, kept policies, the perfect model."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from learner import checkpoint
from learner.starts import CarriedStarts
from moma import local
from moma.cli import main as cli
from moma.engines.board import Board
from moma.engines.view import PlainView
from moma_core import recipes
from moma_core.config import EvalConfig
from moma_core.runtime.run import RunDirectory
from tests.e2e.commands import differing
from tests.integration import tags

ROUNDS = 4
SECTIONS = {
    "rollout": {"rows": 32, "horizon": 12},
    "actor": {"memory": "frames", "frames": 3, "width": 16},
    "ppo": {"rounds": ROUNDS, "epochs": 2, "minibatch": 128, "value_width": 16},
}


def small():
    """The recipe of Hopper's expert in small, with a memory, so that what is carried has one."""
    config = recipes.get("hopper-expert")
    sections = {name: replace(getattr(config, name), **new) for name, new in SECTIONS.items()}
    looks = EvalConfig(every=2, episodes=2, final_episodes=2)
    return replace(config, keep_every=2, checkpoint_every=2, eval=looks, **sections)


def train(run, config, until=ROUNDS):
    """Trains, or goes on, up to a round."""
    board = Board(run, PlainView())
    done, _ = local.train(
        run, config, board, lambda: board.progress is not None and board.progress.round >= until
    )
    assert done == (until == ROUNDS)
    return run


def tensors(run):
    newest = checkpoint.newest(run.checkpoints)
    assert newest.name == f"{ROUNDS:08d}"
    return load_file(newest / "tensors.safetensors")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Tiny tensors gain nothing by more threads, and equal work gives equal bits on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run without a break."""
    config = small()
    return train(RunDirectory.create(tmp_path_factory.mktemp("online") / "run", config), config)


@pytest.fixture
def half(tmp_path):
    """A run that was stopped in the middle."""
    config = small()
    run = train(RunDirectory.create(tmp_path / "run", config), config, ROUNDS // 2)
    return run, config


def test_stopped_and_gone_on_with_it_ends_in_the_same_bits(finished, half):
    kept = tensors(finished)
    assert (kept["carried.age"] > 12).any()  # some rollouts are on their second segment or later
    assert kept["moments.count"] > 0
    assert differing(kept, tensors(train(*half))) == []


def test_without_what_was_carried_it_would_not(finished, half, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(CarriedStarts, "load", lambda *_: None)
        forgetful = train(*half)
    changed = differing(tensors(finished), tensors(forgetful))
    assert any(name.startswith("actors.") for name in changed)
    assert any(name.startswith("carried.") for name in changed)


def test_policies_are_kept_for_good_with_what_was_known_of_them(finished):
    names = sorted(path.name for path in finished.policies.iterdir())
    assert names == ["00000002", "00000004"]
    known = json.loads((finished.policies / names[1] / "state.json").read_text())
    counters = checkpoint.counters(finished.checkpoints)
    assert (known["version"], known["transitions"]) == (ROUNDS, counters.transitions)
    assert isinstance(known["score"], float)
    last = checkpoint.actors(finished.policies / names[1])
    assert differing(last, checkpoint.actors(checkpoint.newest(finished.checkpoints))) == []
    assert differing(last, checkpoint.actors(finished.policies / names[0])) != []


def test_it_needs_no_data_and_no_model_and_its_tags_are_documented(finished, root):
    assert not finished.data.exists()
    assert not finished.model.exists()
    docs = tags.documented((root / "docs" / "metrics.md").read_text(encoding="utf-8"))
    written = tags.written(finished)
    assert tags.undocumented(written, docs) == []
    assert tags.unwritten(written, docs, finished.config(), distributed=False) == []
    assert not any(tag.startswith("model/") for tag in written)


@pytest.mark.usefixtures("own_signals")
def test_a_team_learns_from_its_log_in_the_perfect_model(tmp_path, capsys):
    run = RunDirectory(tmp_path / "run")
    few = ("--ppo.rounds", "1", "--eval.every", "0", "--eval.final-episodes", "2")
    words = ("--model", "simulator", "--in-process", "--run-dir", str(run.path), *few)
    assert cli.main(["train", "reacher-tiny", *words]) == 0
    assert run.data.is_dir()
    assert not run.model.exists()
    assert run.config().dynamics == "simulator"
    assert "score" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serve", "--simulator", "icg"], "task icg has no simulator"),
        (["serve", "--simulator", "anti"], "there is no task 'anti'; perhaps you meant: ant"),
        (["serve"], "serve what? one of --model RUN, --simulator TASK and --dynamics"),
        (["serve", "--simulator", "icg", "--model", "x"], "serve what?"),
        (
            ["train", "reacher-tiny", "--rollout.starts", "task"],
            "config.online must be simulator where rollouts begin at the task's true starts",
        ),
        (["train", "icg", "--model", "simulator", "--in-process"], "task icg has no simulator"),
    ],
)
@pytest.mark.usefixtures("own_signals")
def test_what_cannot_be_simulated_is_refused_in_one_line(
    words, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last
