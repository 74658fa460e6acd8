"""The formats of logs that can be read, by the names that the command line has for them."""

from __future__ import annotations

from typing import Literal, get_args

Format = Literal[
    "og-marl",
    "d4rl",
    "d3rlpy",
    "omiga",
    "minari",
    "npz",
    "parquet",
    "csv",
    "lerobot",
    "moma-ppo-pickle",
]
Whole = Literal["choices", "continuous"]
"""What floats are of which a log says nothing, where all of them are whole numbers."""
FORMATS: tuple[Format, ...] = get_args(Format)
