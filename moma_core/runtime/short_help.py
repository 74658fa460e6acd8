"""The help of a command that makes runs, on one screen: the settings that its user needs."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, field, fields, make_dataclass
from operator import attrgetter
from typing import Annotated, Any, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry

from moma_core.config import Config

SETTINGS = (
    "data.path", "eval.env", "dynamics", "algorithm", "task", "mode", "workers", "rollout.lag",
    "seed",
)  # fmt: skip
"""Settings that are shown, in this order, as far as the config has them."""

HIDDEN = ("config", "chosen")
"""Fields of a command that are no options of their own; nor are those that hold a dataclass."""
FLAGS = {"config_file": "config"}
"""Fields of a command to their flags where these differ."""


def show(
    kind: type,
    config: Config,
    prog: str,
    aliases: Mapping[str, str],
    recipes: Sequence[str],
    words: ConstructorRegistry,
) -> None:
    """Prints the help of a run command, which ends the process.

    Args:
        kind: the command: a dataclass with a field `config`.
        config: the recipe's settings, which are the defaults.
        prog: how the command is called.
        aliases: flag to the setting's own flag.
        recipes: names of all recipes.
        words: how a word becomes a value of ours.
    """
    short = {own.removeprefix("--"): alias for alias, own in aliases.items()}
    shown = [_recipe(recipes)]
    for path in SETTINGS:
        section, _, name = path.rpartition(".")
        with suppress(AttributeError):
            owner: Any = attrgetter(section)(config) if section else config
            default = getattr(owner, name)
            flag = short.get(path, f"--{path}").removeprefix("--")
            shown.append(_option(type(owner), name, flag, default))
    own = [f for f in fields(kind) if f.name not in HIDDEN and f.default_factory is MISSING]
    shown += [_option(kind, f.name, FLAGS.get(f.name, f.name), f.default) for f in own]
    command = make_dataclass("Command", shown, kw_only=True)
    more = f"{prog} RECIPE --help-all shows every setting, in groups."
    about = f"{inspect.getdoc(kind)}\n\n{more}"
    tyro.cli(command, args=["--help"], prog=prog, description=about, registry=words)


def _recipe(names: Sequence[str]) -> tuple[str, Any, Any]:
    what = f"One of: {', '.join(names)}. With --data or --resume none is needed."
    how = tyro.conf.arg(metavar="RECIPE", help=what, help_behavior_hint="")
    return "recipe", Annotated[tyro.conf.Positional[str], how], field(default="")


def _option(owner: type, name: str, flag: str, default: object) -> tuple[str, Any, Any]:
    """Returns a field of `owner` as one that `make_dataclass` takes, under another name."""
    how = tyro.conf.arg(help=documented(owner)[name])
    kind: Any = Annotated[get_type_hints(owner)[name], how]
    given = tyro.MISSING if default is MISSING else default
    return flag.replace("-", "_"), kind, field(default=given)


def documented(kind: type) -> dict[str, str]:
    """Returns the string below each field of a dataclass, those of its bases included."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        for at, below in zip(tree.body, tree.body[1:], strict=False):  # type: ignore[attr-defined]
            match at, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(said))),
                ):
                    found[name] = " ".join(said.split())
    return found
