"""All worlds of the proving ground by name."""

from __future__ import annotations

from benchmarks.proving import carts, chance, clocks, crews, games, sensors
from benchmarks.proving.world import World

WORLDS: dict[str, World] = {
    world.name: world
    for kind in (carts, games, chance, clocks, crews, sensors)
    for world in kind.WORLDS
}
"""Every world."""
