"""A resume is checked whole before a run is touched, and changes only what a list says."""

from dataclasses import fields, is_dataclass

import pytest

from moma.cli.train import Train
from moma_core import recipes
from moma_core.config import Config
from moma_core.config.resuming import MAY_CHANGE, refuse_changes
from moma_core.runtime.commandline import parse_run
from moma_core.runtime.run import RunDirectory

REFUSED = {
    "--actor.width": "32",
    "--model.updates": "61",
    "--seed": "5",
    "--rollout.rows": "128",
    "--ppo.clip": "0.1",
    "--task": "",
    "--deterministic": None,
    "--dynamics": "simulator",
}


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run", recipes.get("reacher-tiny"))


def resumed(run, *words):
    return parse_run(Train, ["--resume", str(run.path), *words], "moma train").config


@pytest.mark.parametrize("flag", REFUSED)
def test_what_a_run_was_made_with_cannot_be_changed_and_nothing_is_written(run, flag):
    """A resume asks for other settings.

    Symptom: "--actor.width: a resumed run keeps what it was made with".
    Cause: A setting that what is on disk was made with.
    What we do: Nothing is written; the run stays as it was.
    What you do: Leave the setting out, or begin a new run.
    """
    before = run.config_path.read_bytes()
    value = REFUSED[flag]
    with pytest.raises(ValueError, match=f"{flag}: a resumed run keeps what it was made with"):
        resumed(run, "--ppo.rounds", "9", flag, *([] if value is None else [value]))
    assert run.config_path.read_bytes() == before
    assert run.config() == recipes.get("reacher-tiny")


def test_length_workers_and_evaluation_may_change(run):
    config = resumed(
        run, "--ppo.rounds", "9", "--workers", "3", "--eval.every", "0", "--env", "a:b"
    )
    assert (config.ppo.rounds, config.workers, config.eval.every) == (9, 3, 0)
    assert config.eval.env == "a:b"
    refuse_changes(config, recipes.get("reacher-tiny"))


def test_every_name_of_the_list_is_a_setting():
    def names(kind, prefix=""):
        for field in fields(kind):
            inner = getattr(recipes.get("reacher-tiny"), field.name) if not prefix else None
            if is_dataclass(inner):
                yield from names(type(inner), f"{field.name}.")
            else:
                yield prefix + field.name

    assert set(MAY_CHANGE) <= set(names(Config))
