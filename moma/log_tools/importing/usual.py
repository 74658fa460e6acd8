"""The names by which logs usually say that an episode ends, and what they leave unsaid."""

from __future__ import annotations

from collections.abc import Iterable

TERMINATED = frozenset(
    {"terminated", "terminateds", "terminal", "terminals", "termination", "terminations"}
    | {"is_terminal", "next.terminated"}
)
"""Flags of a step with which the task itself ended the episode."""
DONE = frozenset({"done", "dones", "is_done", "next.done"})
"""Flags of an end of either kind; of terminals where a log has no other flag for them."""
ENDED = frozenset(
    {"truncated", "truncateds", "truncation", "truncations", "next.truncated", "timeout"}
    | {"timeouts", "time_out", "time_outs", "episode_terminals", "episode_end", "episode_ends"}
    | {"is_last", "last"}
)
"""Flags of the last step of an episode, however it ended."""
TIME = ("timestamp", "timestamps", "time")
Flags = tuple[tuple[str, ...], ...]
"""Groups of arrays; those of a group are agents side by side, the groups say the same thing."""


def ends(found: Iterable[str]) -> tuple[Flags, Flags]:
    """Sorts flags out by their names, `NAME` or `NAME/AGENT`.

    Args:
        found: the names of a log's arrays.

    Returns:
        Those of terminals, and those of any other end.
    """
    kinds: dict[str, list[str]] = {}
    for name in found:
        kinds.setdefault(name.split("/")[0], []).append(name)

    def of(*wanted: frozenset[str]) -> Flags:
        return tuple(tuple(own) for kind, own in kinds.items() if any(kind in w for w in wanted))

    return (of(TERMINATED), of(ENDED, DONE)) if of(TERMINATED) else (of(DONE), of(ENDED))


def unread(flags: Iterable[str], used: Iterable[str]) -> tuple[str, ...]:
    """Returns a note that names flags which nobody reads, if there are any.

    Args:
        flags: names of a log's arrays of truth values.
        used: names of arrays that are read.
    """
    left = sorted(set(flags) - set(used))
    if not left:
        return ()
    return (
        f"flags that are not read: {', '.join(left)}; if one of them says that an episode ends, "
        "call it terminated or truncated",
    )
