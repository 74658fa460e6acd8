"""The formats of logs that can be read, by the names that the command line has for them."""

from __future__ import annotations

from typing import Literal, get_args

Format = Literal[
    "og-marl", "d4rl", "omiga", "minari", "npz", "parquet", "lerobot", "moma-ppo-pickle"
]
FORMATS: tuple[Format, ...] = get_args(Format)
