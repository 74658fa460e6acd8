"""Command lines made from dataclasses: a recipe's fields become dotted flags with their help."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, TypeVar

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
)

from moma_core import own_code, recipes
from moma_core.address import Address
from moma_core.config import Config, refuse_unused
from moma_core.config.resuming import refuse_changes
from moma_core.recipes import from_log
from moma_core.runtime import flag_file, settings, short_help
from moma_core.runtime.run import RunDirectory
from moma_core.runtime.settings import Chosen

T = TypeVar("T")
R = TypeVar("R", bound="RunCommand")
ALIASES = {
    "--model": "--dynamics",
    "--data": "--data.path",
    "--env": "--eval.env",
    "--lag": "--rollout.lag",
}
"""Short words for settings of the config."""
_HELP, _HELP_ALL = {"-h", "--help"}, "--help-all"
_WORDS = ConstructorRegistry()
"""How a word becomes a value of ours."""


@_WORDS.primitive_rule
def _address(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Address | None] | None:
    if info.type not in (Address, Address | None):
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="HOST:PORT",
        instance_from_str=lambda words: Address.parse(words[0]),
        is_instance=lambda value: value is None or isinstance(value, Address),
        str_from_instance=lambda value: [str(value)],
    )


@dataclass(frozen=True, kw_only=True)
class RunCommand:
    """A command that makes a run or goes on with one."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    """Settings of the recipe; any of them can be given here."""
    config_file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """TOML file of flags by name."""
    run_dir: Path | None = None
    """Directory of the run's files; default: runs/ and the recipe's name, numbered."""
    resume: Path | None = None
    """Run directory to go on with."""
    chosen: Annotated[Chosen | None, tyro.conf.Fixed, tyro.conf.Suppress] = None
    """Settings that the log asked for; none where a recipe or a run has them all."""

    @contextmanager
    def opened(self) -> Iterator[RunDirectory]:
        """Yields the run to resume, or a new one; changes nothing that exists.

        The settings that a log asked for are shown, and kept with the run. Of a new run whose start
        is refused nothing stays.
        """
        if self.resume is not None:
            yield RunDirectory.open(self.resume)
            return
        with RunDirectory.begun(self.run_dir or _fresh(self.config), self.config) as run:
            if self.chosen is not None:
                sys.stdout.write(self.chosen.table(self.config))
                sys.stdout.flush()
                self.chosen.keep(run, self.config)
            yield run


def parse(kind: type[T], argv: Sequence[str], prog: str) -> T:
    """Parses a command without a recipe; wrong usage ends the process with status 2.

    Args:
        kind: the command's dataclass.
        argv: the words after the command's name.
        prog: the command as the user writes it, for its help.
    """
    return tyro.cli(kind, args=list(argv), prog=prog, registry=_WORDS)


def parse_run(kind: type[R], argv: Sequence[str], prog: str) -> R:
    """Parses `[RECIPE] [--mode M] [--resume RUN] [--field value ...]`; `--data` needs no recipe.

    `--config FILE` stands for the words that the file holds.

    `--help` shows what a user needs, `--help-all` every setting.

    Args:
        kind: the command's dataclass.
        argv: the words after the command's name.
        prog: the command as the user writes it, for its help and messages.

    Raises:
        ValueError: no such recipe, no recipe at all, or no such run.
    """
    rest = ["--help" if word == _HELP_ALL else word for word in _plain(_with_file(argv))]
    name = rest.pop(0) if rest and not rest[0].startswith("-") else None
    resumed = _value(rest, "--resume")
    own_code.allow(_value(rest, "--task") or "")
    if resumed is not None:
        base = RunDirectory.open(Path(resumed)).config()
        if name not in (None, base.recipe):
            raise ValueError(f"{resumed} is a run of recipe {base.recipe!r}, not of {name!r}")
    elif name is not None or _value(rest, "--data.path"):
        base = recipes.get(name or recipes.ANY_LOG, _value(rest, "--mode") or "default")
    elif _HELP & set(rest):
        base = recipes.get(recipes.NAMES[0])
    else:
        raise ValueError(
            f"which recipe? {prog} RECIPE, one of: {', '.join(recipes.NAMES)}; "
            f"or your own log: {prog} --data DIR"
        )
    if _HELP & set(argv):
        short_help.show(kind, base, prog, ALIASES, recipes.NAMES, _WORDS)
    chosen = None if resumed is not None or _HELP & set(rest) else _chosen(base, rest)
    if chosen is not None:
        base = from_log.applied(base, chosen.choices)
    required = {
        field.name: tyro.MISSING
        for field in fields(kind)
        if field.default is field.default_factory is MISSING and field.name != "config"
    }
    default = kind(config=base, chosen=chosen, **required)
    args = tyro.cli(kind, args=rest, prog=f"{prog} RECIPE", default=default, registry=_WORDS)
    config = _settled(args.config)
    refuse_unused(config, base)
    if resumed is not None:
        refuse_changes(config, base)
    return replace(args, config=config)


def take_run(argv: Sequence[str], prog: str) -> tuple[Path, list[str]]:
    """Takes RUN from the command line of a command that looks at a run.

    Raises:
        ValueError: it is missing.
    """
    words = list(argv)
    if _HELP & set(words):
        return Path(), words
    if not words or words[0].startswith("-"):
        raise ValueError(f"which run? {prog} RUN, a run's directory")
    return Path(words[0]), words[1:]


def _chosen(base: Config, rest: Sequence[str]) -> Chosen | None:
    """Returns what the log asks for where the recipe leaves it to the log."""
    log = _value(rest, "--data.path")
    if not log or (base.recipe, base.mode) != (recipes.ANY_LOG, "default"):
        return None
    return settings.choose(Path(log))


def _settled(config: Config) -> Config:
    """Returns the config with the data's place as seen from any directory."""
    if not config.data.path:
        return config
    return replace(config, data=replace(config.data, path=str(Path(config.data.path).resolve())))


def _with_file(argv: Sequence[str]) -> list[str]:
    """Returns the words with those of the file that `--config` names before them."""
    words = list(argv)
    path = _value(words, "--config")
    if path is None:
        return words
    named = flag_file.words(Path(path))
    recipe = named.pop(0) if named and not named[0].startswith("-") else None
    if words and not words[0].startswith("-"):
        recipe = words.pop(0)
    return [*([] if recipe is None else [recipe]), *named, *words]


def _plain(argv: Sequence[str]) -> list[str]:
    """Returns the words with aliases replaced."""
    words = (word.partition("=") for word in argv)
    return [ALIASES.get(name, name) + equals + value for name, equals, value in words]


def _value(argv: Sequence[str], flag: str) -> str | None:
    """Returns the last value that a flag is given, since that is the one that counts."""
    found = None
    for i, word in enumerate(argv):
        if word == flag and i + 1 < len(argv):
            found = argv[i + 1]
        if word.startswith(flag + "="):
            found = word.partition("=")[2]
    return found


def _fresh(config: Config) -> Path:
    """Returns the first unused directory of runs/RECIPE-SEED, runs/RECIPE-SEED-2, ..."""
    stem = f"{config.recipe}-{config.seed}"
    count, path = 1, Path("runs") / stem
    while path.exists():
        count += 1
        path = Path("runs") / f"{stem}-{count}"
    return path
