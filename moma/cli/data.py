"""Everything about logs: `moma data COMMAND`. Each command's module is loaded when it is called."""

from __future__ import annotations

from collections.abc import Sequence

from moma.cli.main import dispatch

_COMMANDS: dict[str, tuple[str, str]] = {
    "make": ("moma.cli.data_make", "a task's data from nothing"),
    "import": ("moma.cli.data_import", "a log in somebody else's format, as a dataset"),
    "columns": ("moma.cli.data_columns", "a draft of what the columns of one's own tables are"),
    "check": ("moma.cli.data_check", "everything that is wrong or odd in a log"),
    "card": ("moma.cli.data_card", "a page of HTML about a log"),
    "export": ("moma.cli.data_export", "a dataset in a format that others can read"),
}
_USAGE = f"""usage: moma data COMMAND ...

Makes, reads and looks into logs of a team's behaviour.

{chr(10).join(f"  {name:<10}{text}" for name, (_, text) in _COMMANDS.items())}

moma data COMMAND --help says more.
"""


def main(argv: Sequence[str]) -> int:
    """Runs the command that the first argument names."""
    return dispatch(_COMMANDS, argv, lambda: _USAGE)
