"""The string below a field is a noun phrase: read alone, on a command line, it says what it is of.

A program cannot tell a noun. What it can tell is the first word of each sentence: none may be a
word that leans on the field's name or on the sentence before (a preposition, a pronoun, a
conjunction, a bare participle), an order (a verb) or a bare value.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from moma.cli import data
from moma.cli import main as cli

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("moma", "moma_core", "model_server", "rollout_workers", "learner")
PREPOSITIONS = """about above across after against along among around as at before below beneath
beside between beyond by during except for from in inside instead into of off on onto out outside
over past per since through times to toward under until up upon with within without"""
PRONOUNS = """he her his how it its that their them these they this those we what when where whether
which who whom whose why you"""
CONJUNCTIONS = "although and because but if nor or so than though unless while yet"
PARTICIPLES = """bounded built clamped clipped computed counted drawn fitted given kept known made
measured normalised noted predicted reported sampled told used written"""
VERBS = """are asks clips counts do does evaluates give gives has have hold holds is keep keeps list
make makes play predict predicts read reads say says serve serves splits stop stops take takes tell
tells train trains truncate truncates use uses was were write writes"""
VALUES = "default empty false no none not null true zero"
BAD = set(" ".join([PREPOSITIONS, PRONOUNS, CONJUNCTIONS, PARTICIPLES, VERBS, VALUES]).split())


def help_texts(text):
    """Class and field to the string below it, for every field of every class in a source."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            for at, below in zip(node.body, node.body[1:], strict=False):
                match at, below:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(said))),
                    ):
                        yield f"{node.name}.{name}", " ".join(said.split())


def leaning(said):
    """The first words of sentences that are none of a noun phrase."""
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z`\"0-9])", said)
    words = [re.match(r"[^\w`]*([\w`'-]*)", sentence)[1] for sentence in sentences]
    return [word for word in words if word.lower() in BAD or not word or word[0].isdigit()]


def test_every_field_and_command_is_described_by_a_noun_phrase():
    found = {
        f"{path.relative_to(ROOT)} {name}": said
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for name, said in help_texts(path.read_text(encoding="utf-8"))
    }
    commands = cli._COMMANDS | {f"data {name}": of for name, of in data._COMMANDS.items()}
    found |= {name: said for name, (_, said) in commands.items()}
    assert len(found) > 250
    assert {"train", "moma_core/config/learning.py PPOConfig.clip"} <= set(found)
    assert {name: said for name, said in found.items() if leaning(said)} == {}


@pytest.mark.parametrize(
    "said",
    [
        "Of AdamW.",
        "For which a request may wait.",
        "That may wait; 0: four batches.",
        "After each of which it counts as better.",
        "Times that it was started.",
        "What the team is imagined in.",
        "Per step.",
        "Measured in the environment.",
        "Predict the change.",
        "None where there is none.",
        "True: columns are padding.",
        "0: not at all.",
        "Rows of a batch. Of the next one, too.",
        "",
    ],
)
def test_what_leans_on_the_fields_name_is_seen(said):
    source = f"class Planted:\n    field: int = 0\n    {said!r}\n"
    ((name, read),) = help_texts(source)
    assert name == "Planted.field"
    assert leaning(read)


@pytest.mark.parametrize(
    "said", ["Learning rate of AdamW.", "Rows that may wait; 0: four batches.", "`H`: frames kept."]
)
def test_a_noun_phrase_passes(said):
    assert not leaning(said)
