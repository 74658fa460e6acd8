"""docs/reading.md leads from log to update in at most eight files that are there to read."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_FILES = 8
LONGEST = {"moma/local.py": 120}
"""Lines of a file at most; all others 260."""


def listed(text):
    """The files of the numbered list, in order, each with its sentence."""
    return re.findall(r"^\d+\. `([^`]+)`: (\S.*\.)$", text, re.MULTILINE)


def faults(files):
    """What keeps a reader from following the list."""
    found = [f"{len(files)} files, at most {MOST_FILES}"] if len(files) > MOST_FILES else []
    for name, _ in files:
        path = ROOT / name
        if not path.is_file():
            found.append(f"{name} is not there")
        elif (lines := len(path.read_text("utf-8").splitlines())) > LONGEST.get(name, 260):
            found.append(f"{name} has {lines} lines")
    return found


def test_the_path_from_log_to_update_can_be_walked():
    files = listed((ROOT / "docs" / "reading.md").read_text("utf-8"))
    assert len(files) >= 5
    assert files[0][0] == "moma/local.py"
    assert faults(files) == []


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([("moma/nowhere.py", "Gone.")], "not there"),
        ([("moma/local.py", "Read.")] * 9, "9 files"),
        ([("docs/performance.md", "Long.")] * 8, None),
        ([("constraints.txt", "x."), ("docs/data.md", "Too long.")], "docs/data.md has"),
    ],
)
def test_a_fault_would_be_seen(files, words):
    found = faults(files)
    assert (found == []) if words is None else any(words in fault for fault in found)
