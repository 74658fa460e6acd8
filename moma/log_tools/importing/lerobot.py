"""LeRobot's datasets: `meta/info.json` and `data/*/*.parquet`, a row per step.

Columns: `observation.state` and, if there, `observation.environment_state`; `action`;
`episode_index`; `next.reward`, or `reward`; optionally `next.done`, without which no episode
terminates. The format knows one agent; a task splits it. It has no state after an episode's last
step (see `rows`), and may set `next.done` where time ran out too. Images and videos are left alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from moma.log_tools.importing import table
from moma.log_tools.importing.log import ImportDataError, Layout, Log, numbered
from moma.log_tools.importing.rows import episodes
from moma_core import documents

_SEEN = ("observation.state", "observation.environment_state")


def read(path: Path) -> Log:
    """Opens a dataset by its directory.

    Raises:
        ImportDataError: a file or a column is missing, or must not be read.
    """
    info = _info(path / "meta" / "info.json")
    files = sorted(path.glob("data/*/*.parquet"))
    if not files:
        raise ImportDataError(f"{path} holds no data/*/*.parquet file")
    found = info["features"]
    seen, reward = _needed(path, tuple(found))
    widths, kinds = table.widths(files[0], (*seen, "action"))
    features = tuple(n for name in seen for n in _names(found[name], name, widths[name]))
    done = "next.done" if "next.done" in found else None
    rows = 0
    for file in files:
        with table.opened(file) as content:
            rows += content.metadata.num_rows
    return Log(
        source=str(path),
        layout=Layout(
            agents=("agent_0",),
            features=features,
            observations=(tuple(range(len(features))),),
            action_widths=(widths["action"],),
            choices=(0,) if kinds["action"] in "iu" and widths["action"] == 1 else (),
        ),
        rows=rows,
        episodes=lambda: episodes(
            table.rows(files, seen, ("action",), (reward,), (done, "episode_index")), str(path)
        ),
    )


def _needed(path: Path, found: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The columns of observations and the one of rewards."""
    seen = tuple(name for name in _SEEN if name in found)
    reward = next((name for name in ("next.reward", "reward") if name in found), None)
    if reward is None:
        raise ImportDataError(
            f"{path}: a policy is learned from rewards, and neither next.reward nor reward is "
            f"among its features: {', '.join(found)}; add a reward to every step"
        )
    if not seen or "action" not in found:
        raise ImportDataError(
            f"{path}: observation.state and action are needed, its features are: {', '.join(found)}"
        )
    return seen, reward


def _info(path: Path) -> dict[str, Any]:
    try:
        info = documents.read(path)
        if isinstance(info["features"], dict):
            return dict(info)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImportDataError(f"{path} describes no dataset: {error!r}") from error
    raise ImportDataError(f"{path}: features must be an object")


def _names(feature: object, name: str, width: int) -> tuple[str, ...]:
    """The names that the dataset gives a feature's columns, where it gives one to each."""
    said = feature.get("names") if isinstance(feature, dict) else None
    if isinstance(said, dict):
        said = next(iter(said.values()), None)
    if isinstance(said, list) and len(said) == width and all(isinstance(n, str) for n in said):
        return tuple(said)
    return numbered(name, width)
