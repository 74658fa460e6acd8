"""Public functions of three or more arguments say in `Args:` what each of them is."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("moma", "moma_core", "model_server", "rollout_workers", "learner")
GENERATED = "moma_core/pb/"
MANY = 3
SHARE = 0.8
WHOLE = (
    "learner/",
    "rollout_workers/",
    "model_server/",
    "moma_core/nets/",
    "moma_core/rpc/",
    "moma_core/ports.py",
)
"""Rooms where no function may be left out."""
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def public(tree, owner=None):
    """Every public function with the class it belongs to; functions within functions are not."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node, node)
        if isinstance(node, FUNCTIONS):
            constructor = owner is not None and node.name == "__init__"
            if constructor or not node.name.startswith("_"):
                yield node, owner


def arguments(function, owner):
    """Names of a function's arguments, without `self` and `cls`."""
    given = function.args
    named = [argument.arg for argument in [*given.posonlyargs, *given.args]]
    bound = owner is not None and not any(
        isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in function.decorator_list
    )
    more = [*given.kwonlyargs, *(extra for extra in (given.vararg, given.kwarg) if extra)]
    return named[bound:] + [argument.arg for argument in more]


def documented(function, owner):
    """Names in the `Args:` section of a function's docstring, a constructor's class included."""
    texts = [ast.get_docstring(function)]
    if owner is not None and function.name == "__init__":
        texts.append(ast.get_docstring(owner))
    return {name for text in texts if text for name in section(text)}


def section(text):
    """Names that a docstring's `Args:` section gives a description."""
    found = re.search(r"^Args:\n((?: {4}.*\n?|\n)*)", text, re.MULTILINE)
    lines = found[1].splitlines() if found else []
    heads = [re.match(r" {4}([*\w][*\w, ]*): \S", line) for line in lines]
    return {name.strip(" *") for head in heads if head for name in head[1].split(",")}


def measured(name, text):
    """Of one file: (where, arguments that are not described) of each function of many arguments."""
    if any(part.startswith("_") and not part.startswith("__") for part in Path(name).parts):
        return
    for function, owner in public(ast.parse(text)):
        taken = arguments(function, owner)
        if len(taken) >= MANY:
            where = f"{name}:{function.lineno} {owner.name + '.' if owner else ''}{function.name}"
            yield where, [one for one in taken if one not in documented(function, owner)]


@pytest.fixture(scope="module")
def functions():
    """Every measured function of the five packages."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    named = [(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in paths]
    ours = [(name, text) for name, text in named if not name.startswith(GENERATED)]
    return [one for name, text in ours for one in measured(name, text)]


def told(bare):
    return "\n".join(f"{where}: {', '.join(names)}" for where, names in bare)


def test_four_of_five_functions_describe_their_arguments(functions):
    assert len(functions) > 100
    bare = [(where, names) for where, names in functions if names]
    share = 1 - len(bare) / len(functions)
    assert share >= SHARE, f"{share:.0%} of {len(functions)} describe every argument\n{told(bare)}"


@pytest.mark.parametrize("room", WHOLE)
def test_every_function_describes_its_arguments(functions, room):
    inside = [(where, names) for where, names in functions if where.startswith(room)]
    assert inside
    bare = [(where, names) for where, names in inside if names]
    assert not bare, f"{len(bare)} of {len(inside)} leave arguments out\n{told(bare)}"


SMALL = '''
def whole(a, b, *, c):
    """Adds.

    Args:
        a, b: numbers.
        c: a number, which takes a second line:
            this one.

    Raises:
        ValueError: never.
    """

def part(a, b, c):
    """Adds.

    Args:
        a: a number, and in a second line
            b: is not described by it.
        c:
    """

def bare(a, b, *rest):
    """Adds."""

def two(a, b):
    """Adds."""

def _own(a, b, c):
    """Adds."""

class Sum:
    """A sum.

    Args:
        a: a number.
        b: a number.
        c: a number.
    """

    def __init__(self, a, b, c):
        pass

    def two(self, a, b):
        """Adds."""

    @staticmethod
    def three(a, b, c):
        """Adds."""

class _Own:
    def three(self, a, b, c):
        """Adds."""
'''


def test_what_is_not_described_is_found():
    assert list(measured("small.py", SMALL)) == [
        ("small.py:2 whole", []),
        ("small.py:14 part", ["b", "c"]),
        ("small.py:23 bare", ["a", "b", "rest"]),
        ("small.py:41 Sum.__init__", []),
        ("small.py:48 Sum.three", ["a", "b", "c"]),
    ]


def test_private_modules_are_not_public():
    assert not list(measured("room/_own.py", SMALL))
    assert list(measured("room/__main__.py", SMALL))
