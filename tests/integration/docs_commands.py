"""The commands of README.md and docs/: those in blocks, with their marks, and those in text.

A block of commands is a fence of `sh`, a fence whose commands begin with `$`, or indented lines.
The mark is a comment in the line before it: `<!-- run by tests/... -->` names the tests that run
its commands, with values of their own; `<!-- not run: REASON -->` says why nobody does. One at the
top of a page holds for all of it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

_PROGRAMS = ("moma", "scripts/", "python", "pip", "pytest", "ray", "sbatch", "kubectl")
_MARK = re.compile(r"<!-- (run by|not run:) (.+?) -->")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)((?: ?<!--.*?-->)?)")


@dataclass(frozen=True)
class Block:
    """Commands that a page shows together."""

    page: str
    line: int
    lines: tuple[str, ...]
    mark: tuple[str, str] | None
    """What is said of them, `run by` or `not run:`, and the rest."""

    @property
    def where(self):
        """Page and line, for messages."""
        return f"{self.page}, line {self.line}"

    @property
    def commands(self):
        """Each command, as words."""
        joined = "\n".join(self.lines).replace("\\\n", " ")
        return [words for line in joined.splitlines() for words in split(line)]


def split(line):
    """Returns the commands of a line as words, without its comment."""
    words = shlex.split(re.sub(r";\s", " ; ", f"{line} "), comments=True)
    parts, part = [], []
    for word in [*words, ";"]:
        if word == ";":
            parts.append(part)
            part = []
        else:
            part.append(word)
    return [part for part in parts if part]


def blocks(page, text):
    """Yields a page's blocks of commands."""
    lines = text.splitlines()
    whole = _MARK.search("\n".join(lines[:3]))
    fence, begun, found = None, 0, []
    for number, line in enumerate([*lines, ""], 1):
        if line.startswith("```"):
            if fence is not None and found:
                yield _block(page, lines, begun - 1, found, whole)
            fence, begun, found = (line[3:] if fence is None else None), number + 1, []
            continue
        told = _command(line, fence, going=bool(found))
        if told:
            begun = begun if found else number
            found.append(told)
        elif fence is None and found:
            yield _block(page, lines, begun, found, whole)
            found = []


def _command(line, fence, *, going):
    """Returns the command that a line holds, or empty."""
    if fence == "sh":
        return line
    if fence is not None:
        return line[2:] if line.startswith("$ ") else ""
    own = line[4:] if line.startswith("    ") else ""
    return own if own.startswith(_PROGRAMS) or (going and own.startswith("    ")) else ""


def _block(page, lines, begun, found, whole):
    before = next((line for line in reversed(lines[: begun - 1]) if line.strip()), "")
    before = before if not before.startswith("```") else lines[begun - 2]
    mark = _MARK.fullmatch(before.strip()) or whole
    return Block(page, begun, tuple(found), mark and mark.groups())


def flags(text):
    """Yields the flags that a page's text names without a command."""
    for code, _ in _inline(text):
        yield from re.findall(r"(?<!\S)--[a-z][\w.-]*", code) if code.startswith("--") else ()


def _inline(text):
    return _INLINE.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def mentions(text):
    """Yields the commands that a page's text names, as words, and what is said of each."""
    for code, said in _inline(text):
        if code.startswith(("moma ", "scripts/", "python -m ", "pytest ")) and code != "moma ":
            try:
                for words in split(code):
                    yield words, said
            except ValueError as error:  # a quote that is not closed
                yield [code, str(error)], said
