"""docs/failure-modes.md from the tests' docstrings: `python -m tests.failure_modes` writes it.

A test of a fault says in its docstring, after its first line, four lines: `Symptom:`, `Cause:`,
`What we do:`, `What you do:`. What the page says is then what a test shows.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "failure-modes.md"
PARTS = ("Symptom", "Cause", "What we do", "What you do")
_HEAD = """# What can fail, and what then

Written by `python -m tests.failure_modes` from the docstrings of the tests that show it.

| symptom | cause | what we do | what you do | shown by |
|---|---|---|---|---|
"""


def page() -> str:
    """Returns the page as it should be."""
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows())


def rows() -> list[tuple[str, ...]]:
    """Returns a row for each test that tells a failure."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*/test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (told := parts(ast.get_docstring(node) or "")):
                place = f"tests/{path.relative_to(Path(__file__).parent)}"
                found.append((*told, f"`{place}::{node.name}`"))
    return found


def parts(docstring: str) -> tuple[str, ...]:
    """Returns the four parts of a docstring; nothing where it tells no failure."""
    if "Symptom:" not in docstring:
        return ()
    names = "|".join(PARTS)
    found = re.findall(
        rf"^({names}):(.*?)(?=^(?:{names}):|\Z)", docstring, re.DOTALL | re.MULTILINE
    )
    assert tuple(name for name, _ in found) == PARTS, docstring
    return tuple(re.sub(r"\s+", " ", text).strip().replace("|", "\\|") for _, text in found)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
