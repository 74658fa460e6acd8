"""What is said of a run while it goes: the learner's line, and the lines of a file."""

from moma.engines.board import Board
from moma.engines.view import PlainView
from moma_core.runtime.progress import Progress, describe
from moma_core.runtime.run import RunDirectory
from tests.builders import make_config

FIRST = Progress(
    round=3, rounds=60, transitions=30_720, sps=9_000.4, score=None, imagined=None, left_s=None,
    stopped="", workers_alive=2, waiting_for="", seconds=3.0,
)  # fmt: skip


def line(**fields):
    return describe(Progress(**{**vars(FIRST), **fields}))


def test_it_says_how_far_it_is_what_is_imagined_and_how_long_it_takes():
    assert line() == "round 3/60, 30,720 transitions, 9,000 SPS, 2 workers alive"
    said = line(imagined=-3.456, left_s=83.4)
    assert "imagined return -3.46" in said
    assert said.endswith("at most 1:23 min left")
    assert "score" not in said
    assert "score 0.98" in line(score=0.98)
    assert line(waiting_for="worker-1").endswith("waiting for worker-1")


def test_it_says_why_it_stopped():
    said = line(stopped="the imagined return has not risen", left_s=0.0, waiting_for="worker-1")
    assert said.endswith("stopped: the imagined return has not risen")
    assert "left" not in said


def test_a_file_gets_the_last_line_of_every_phase(tmp_path):
    said = []
    board = Board(RunDirectory.create(tmp_path / "run", make_config()), PlainView(said.append))
    for phase, details in (("fit", "12"), ("train", "33")):
        board.enter(phase)
        for detail in details:
            board.tell(detail)
    board.close()
    assert said == ["[fit]", "[fit]: 2", "[train]", "[train]: 3", "[end]"]
