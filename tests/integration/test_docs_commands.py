"""Every command in README.md and docs/ exists, is understood, and is run by a test or says why not.

Those of blocks are parsed by the commands themselves, values and all; capitals stand for a value.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shlex
from pathlib import Path

import pytest

from moma.cli import data
from moma.cli import main as cli
from moma_core import recipes
from tests.integration import docs_commands
from tests.integration.docs_commands import Block

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
BLOCKS = [block for page, text in PAGES.items() for block in docs_commands.blocks(page, text)]
RUNS = {"train", "fit", "learn"}
VALUES = {
    "RECIPE": "icg", "TASK": "icg", "NAME": "bc", "VARIANT": "", "N": "2", "K": "1", "S": "0",
    "IP": "10.0.0.1", "IP_OF_THE_HEAD": "10.0.0.1", "HOST": "10.0.0.1", "PORT": "7002",
    "MINUTES": "1", "A": "127.0.0.1:1", "B": "127.0.0.1:2",
}  # fmt: skip
"""What capitals stand for; others are names of files."""


ELSEWHERE = {"--version", "--no-kill", "--requeue", "--quick", "--profile"}
"""Flags that pages name of `moma` itself, of Slurm and of `scripts/bench`."""


class Understood(BaseException):
    """The command has understood its words, and would begin."""


@pytest.fixture(scope="module")
def place(run, tmp_path_factory):
    """A directory with what the pages' commands name."""
    here = tmp_path_factory.mktemp("docs")
    (here / "RUN").symlink_to(run.path)
    (here / "DIR").symlink_to(run.data)
    (here / "LOG").symlink_to(run.data)
    (here / "carts").symlink_to(run.data)
    (here / "data").mkdir()
    (here / "data" / "meet").symlink_to(run.data)
    [toml] = re.findall(r"^    # run.toml\n((?:    .*\n)+)", PAGES["docs/slurm.md"], re.MULTILINE)
    (here / "run.toml").write_text(re.sub(r"^    ", "", toml, flags=re.MULTILINE))
    for name in ("task", "dynamics"):
        page = PAGES[f"docs/own_{name}.md"]
        kind = {"task": "my_tasks.py", "dynamics": "my_dynamics.py"}[name]
        [(program)] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        (here / kind).write_text(program)
    return here


@pytest.fixture
def understood(place, monkeypatch, capsys, own_signals):  # noqa: ARG001 - takes signals back
    """Says why a command does not understand its words; empty where it would begin."""
    monkeypatch.chdir(place)
    monkeypatch.setattr("sys.path", [*os.sys.path])
    monkeypatch.setenv("COLUMNS", "400")

    def ask(words):
        module = importlib.import_module(_module(words))
        for name in ("parse", "parse_run"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, _then_stop(getattr(module, name)))
        try:
            status = cli.main(words)
        except Understood:
            return ""
        except SystemExit as ended:
            status = ended.code
        said = capsys.readouterr()
        return said.out + said.err if status else ""

    return ask


def _then_stop(parse):
    """What parses as before and does nothing after that; how often it is wrapped is the same."""

    def wrapped(*args):
        parse(*args)
        raise Understood

    return wrapped


def _module(words):
    """The module of a command of ours, which the words name."""
    table, name = (data._COMMANDS, words[1]) if words[0] == "data" else (cli._COMMANDS, words[0])
    assert name in table, f"there is no command {shlex.join(words)}"
    return table[name][0]


def filled(words):
    """A page's words with what its capitals stand for; `[...]` is left out, of `a|b` a is taken."""
    line = re.sub(r"\[[^\]]*\]", "", shlex.join(words).replace("'", ""))
    line = re.sub(r"\|[\w|-]+", "", line.replace("...", ""))
    for name, value in VALUES.items():
        line = re.sub(rf"(?<![\w.]){name}(?![\w.])", value, line)
    return shlex.split(line)


def within(words):
    """The command of ours that a page's words hold, if any: also one that Slurm is to start."""
    if words[0] == "sbatch":
        words = shlex.split(words[words.index("--wrap") + 1])
    return filled(words)[1:] if words[0] == "moma" else None


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_a_block_is_understood_and_is_run_or_says_why_not(block, understood):
    for words in block.commands:
        check_program(words)
        ours = within(words)
        refusal = ours and understood(ours)
        assert not refusal, f"{block.where}: {shlex.join(words)}\n{refusal}"
    check_mark(block)


def check_program(words):
    """Refuses a script, module or test that is not there, and flags that they do not know."""
    if words[0].startswith("scripts/"):
        assert os.access(ROOT / words[0], os.X_OK), words
        text = (ROOT / words[0]).read_text(encoding="utf-8")
        text += "".join(map(_sources, re.findall(r"-m (benchmarks[.\w]*)", text)))
        if "moma train" not in text:  # to which `scripts/demo` hands its flags on
            check_flags(words, text)
    if words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None, words
        check_flags(words, _sources(words[2]))
    for word in words[1:] if words[0] == "pytest" else ():
        assert not word.startswith("tests/") or (ROOT / word).exists(), words


def check_flags(words, source):
    """Refuses flags whose fields are not in a program's source."""
    for flag in re.findall(r"--([a-z][\w-]*)", shlex.join(words)):
        assert re.search(rf"\b{flag.replace('-', '_')}\b", source), f"{words}: --{flag}"


def _sources(module):
    """The source of a package or of a module, with that of its package."""
    place = ROOT / module.replace(".", "/")
    files = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    return "".join(file.read_text(encoding="utf-8") for file in files)


def check_mark(block):
    """Refuses a block without a mark, and one that names a test which does not run its commands."""
    assert block.mark, f"{block.where}: run by which tests, or why not run?"
    kind, told = block.mark
    if kind == "not run:":
        return
    files = told.split(", ")
    tests = "".join((ROOT / file).read_text(encoding="utf-8") for file in files)
    for words in filter(None, map(within, block.commands)):
        name = words[1] if words[0] == "data" else words[0]
        assert f'"{name}"' in tests or f'"{block.page}"' in tests, (
            f"{block.where}: {told} has no {name}"
        )


def test_what_the_text_names_exists(understood, capsys):
    for page, text in PAGES.items():
        for words, said in docs_commands.mentions(text):
            check_program(words)
            if words[0] == "moma" and "refused" not in said:
                assert not unknown(filled(words)[1:], understood, capsys), f"{page}: {words}"


def test_a_flag_that_the_text_names_is_some_commands(capsys):
    names = [[name] for name in cli._COMMANDS if name != "data"]
    names += [["data", name] for name in data._COMMANDS]
    known = ELSEWHERE.union(*(flags(name, capsys) for name in names))
    named = {flag for text in PAGES.values() for flag in docs_commands.flags(text)}
    assert len(named) > 20
    assert named - known == set()
    assert "--no-eval.film" not in known  # the way it is not written


def unknown(words, understood, capsys):
    """Says what of a command that may be half of one does not exist."""
    if words[0].startswith("-") or words == ["data"]:
        return ""
    _module(words)
    rest = words[1 + (words[0] == "data") :]
    if not rest or not understood(words):
        return ""
    if words[0] in RUNS and not rest[0].startswith("-") and rest[0] not in recipes.NAMES:
        return f"no recipe {rest[0]}"
    there = flags(words[: 1 + (words[0] == "data")], capsys)
    return ", ".join(word for word in rest if word.startswith("--") and word not in there)


def flags(command, capsys):
    """The flags that a command knows, by its help."""
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main([*command, "--help-all" if command[0] in RUNS else "--help"])
    return set(re.findall(r"--[a-z][\w.-]*", capsys.readouterr().out)) | {"--help", "--help-all"}


def spoilt(**changes):
    return Block(page="docs/x.md", line=1, lines=("moma tasks",), mark=None, **changes)


def test_a_wrong_flag_recipe_value_or_command_is_seen(understood, capsys):
    """The checks' own controls."""
    for words in (
        ["train", "icg", "--ppo.clp", "0.1"], ["train", "icq"], ["train", "icg", "--seed", "x"],
        ["data", "check"], ["evaluate", "RUN", "--episodos", "1"],
    ):  # fmt: skip
        assert understood(words), words
    assert unknown(["train", "--placemint", "central"], understood, capsys)
    assert unknown(["train", "icq", "--seed", "1"], understood, capsys) == "no recipe icq"
    assert not unknown(["train", "--placement", "central"], understood, capsys)
    with pytest.raises(AssertionError, match="there is no command"):
        unknown(["trian", "icg"], understood, capsys)
    with pytest.raises(AssertionError, match="run by which tests"):
        check_mark(spoilt())
    text = "<!-- run by tests/unit/test_seeds.py -->\n    moma tasks\n"
    [block] = docs_commands.blocks("docs/x.md", text)
    with pytest.raises(AssertionError, match=r"test_seeds\.py has no tasks"):
        check_mark(block)
    with pytest.raises(AssertionError):
        check_program(["scripts/demoo"])
    with pytest.raises(AssertionError, match="--scrtch"):
        check_program(["python", "-m", "benchmarks.reading", "--scrtch", "DIR"])
    with pytest.raises(AssertionError, match="--quik"):
        check_program(["scripts/bench", "--quik"])
