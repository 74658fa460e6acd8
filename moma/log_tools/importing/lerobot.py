"""LeRobot's datasets, v2.1 and v3: `meta/info.json` and `data/*/*.parquet`, a row per step.

Columns: `observation.*` with numbers; `action`; `episode_index`; `next.reward`, or `reward`;
optionally `next.done`, without which no episode terminates, and `timestamp`. v2.1 has a file per
episode, v3 many episodes in one. The format knows one agent; a task splits it. It has no state
after an episode's last step (see `rows`), and may set `next.done` where time ran out too. Images
and videos are refused where there is nothing else to see, and named where there is.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from moma.log_tools.importing import table, usual
from moma.log_tools.importing.fields import Fields, layout
from moma.log_tools.importing.log import Agent, ImportDataError, Log, numbered
from moma_core import documents

_NUMBERS = ("float", "int", "uint", "bool")


def read(path: Path) -> Log:
    """Opens a dataset by its directory.

    Raises:
        ImportDataError: a file or a column is missing, or must not be read.
    """
    found = _features(path / "meta" / "info.json")
    files = sorted(path.glob("data/*/*.parquet"))
    if not files:
        raise ImportDataError(f"{path} holds no data/*/*.parquet file")
    seen, reward, left = _needed(path, found)
    terminated, ended = usual.ends(found)
    acting = Agent(name="agent_0", seen=seen, acted=("action",))
    names = Fields(
        agents=(acting,),
        rewards=(reward,),
        terminated=terminated,
        ended=ended,
        number=("episode_index",),
        beside={"timestamp": ("timestamp",)} if "timestamp" in found else {},
    )
    first = table.first(table.parquet, files[0], names.all)
    named = tuple(n for name in seen for n in _names(found[name], name, first[name].shape[1]))
    names = replace(names, agents=(replace(acting, names=named),))
    rows = 0
    for file in files:
        with table.opened(file) as content:
            rows += content.metadata.num_rows
    return Log(
        source=str(path),
        layout=layout(str(path), names, first),
        rows=rows,
        episodes=lambda: table.episodes(files, names, table.parquet, str(path), apart=False),
        notes=(f"left out, no rows of numbers: {', '.join(left)}",) * bool(left),
    )


def _needed(path: Path, found: dict[str, Any]) -> tuple[tuple[str, ...], str, list[str]]:
    """The columns of observations, the one of rewards, and what is observed and left out."""
    said = {name: feature for name, feature in found.items() if isinstance(feature, dict)}
    observed = [name for name in said if name.startswith("observation.")]
    first = ("observation.state", "observation.environment_state")
    rows = [
        name
        for name in observed
        if str(said[name].get("dtype", "")).startswith(_NUMBERS)
        and len(said[name].get("shape") or ()) < 2
    ]
    seen = sorted(rows, key=lambda name: name not in first)
    left = [name for name in observed if name not in seen]
    reward = next((name for name in ("next.reward", "reward") if name in found), None)
    if reward is None:
        raise ImportDataError(
            f"{path}: a policy is learned from rewards, and neither next.reward nor reward is "
            f"among its features: {', '.join(found)}; add a reward to every step"
        )
    if not seen and left:
        raise ImportDataError(
            f"{path}: all that is observed are images and the like ({', '.join(left)}), which "
            "cannot be imported: add what they show as numbers, as observation.state"
        )
    if not seen or "action" not in found:
        raise ImportDataError(
            f"{path}: observation.state and action are needed, its features are: {', '.join(found)}"
        )
    return tuple(seen), reward, left


def _features(path: Path) -> dict[str, Any]:
    try:
        features = documents.read(path)["features"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImportDataError(f"{path} describes no dataset: {error!r}") from error
    if not isinstance(features, dict):
        raise ImportDataError(f"{path}: features must be an object")
    return features


def _names(feature: object, name: str, width: int) -> tuple[str, ...]:
    """The names that the dataset gives a feature's columns, where it gives one to each."""
    said = feature.get("names") if isinstance(feature, dict) else None
    if isinstance(said, dict):
        said = next(iter(said.values()), None)
    if isinstance(said, list) and len(said) == width and all(isinstance(n, str) for n in said):
        return tuple(said)
    return numbered(name, width)
