"""Three carts carry a beam to one of two docks: a world to log and to drive in, for the tutorial.

`python examples/carts.py log DIR` writes CSV files, as a robot's logger would. `python
examples/carts.py drive POLICY` lets an exported policy drive; it needs numpy and onnxruntime alone.
"""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path

import numpy as np

CARTS = ("front", "middle", "rear")
DOCKS, STEPS, EVERY_S = (1.0, -1.0), 15, 0.1
REACH = 0.8
"""The beam falls where two carts are farther apart."""


class World:
    """The carts' positions and speeds; each cart pushes with a force of -1 to 1."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.position = self.random.uniform(-0.2, 0.2, 3)
        self.speed = np.zeros(3)
        self.step = 0

    def seen(self) -> dict[str, np.ndarray]:
        """Returns what each cart observes: itself, and how far off the beam's middle is."""
        off = self.position.mean() - self.position
        return {
            name: np.array([self.position[i], self.speed[i], off[i]])
            for i, name in enumerate(CARTS)
        }

    def push(self, force: np.ndarray) -> tuple[float, bool]:
        """Moves the carts; returns the reward, and whether the beam fell."""
        self.speed = 0.6 * self.speed + 0.15 * np.clip(force, -1, 1)
        self.position = self.position + self.speed
        self.step += 1
        near = max(np.exp(-(((self.position - dock) / 0.3) ** 2).sum()) for dock in DOCKS)
        fell = bool(np.ptp(self.position) > REACH)
        return float(near - 0.01 * (force**2).sum() - 5.0 * fell), fell


def scripted(world: World, dock: float, *, reckless: bool) -> np.ndarray:
    """Returns what careful drivers do, and some noise; reckless ones pull the beam apart."""
    force = 2.0 * (dock - world.position) - 1.0 * world.speed
    if reckless:
        force = np.array([1.0, 0.0, -1.0])
    return np.clip(force + 0.3 * world.random.standard_normal(3), -1, 1)


def log(directory: Path, files: int = 4, episodes: int = 60) -> None:
    """Writes files of episodes: a row per step, and one for each final state without a reward."""
    directory.mkdir(parents=True)
    columns = ("position", "speed", "off")
    header = ["run", "time", *(f"{cart}.{column}" for cart in CARTS for column in columns)]
    header += [*(f"{cart}.force" for cart in CARTS), "reward", "fell"]
    for file in range(files):
        with (directory / f"day{file}.csv").open("w", newline="", encoding="utf-8") as out:
            rows = csv.writer(out)
            rows.writerow(header)
            for run in range(episodes):
                world = World(1000 * file + run)
                dock, fell = DOCKS[int(world.random.random() < 0.3)], False
                reckless = bool(world.random.random() < 0.05)
                while True:
                    seen = np.concatenate(list(world.seen().values()))
                    row = [run, round(EVERY_S * world.step, 6), *seen.round(6)]
                    if fell or world.step == STEPS:
                        rows.writerow([*row, "", "", "", "", ""])
                        break
                    force = scripted(world, dock, reckless=reckless)
                    reward, fell = world.push(force)
                    rows.writerow([*row, *force.round(6), round(reward, 6), fell])
    sys.stdout.write(f"{directory}: {files} files of {episodes} episodes\n")


def drive(policy: Path, episodes: int = 20) -> None:
    """Lets every cart act by its own folder of an export, and tells what the team earned."""
    spec = importlib.util.spec_from_file_location("run_policy", policy / "run_policy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    drivers = {cart: module.Policy(policy / cart) for cart in CARTS}
    total = []
    for episode in range(episodes):
        world, earned, fell = World(900_000 + episode), 0.0, False
        for driver in drivers.values():
            driver.reset()
        while not fell and world.step < STEPS:
            force = [drivers[cart].act(seen)[0] for cart, seen in world.seen().items()]
            reward, fell = world.push(np.array(force))
            earned += reward
        total.append(earned)
    assert "torch" not in sys.modules
    sys.stdout.write(f"mean return of {episodes} episodes: {np.mean(total):.2f}, without torch\n")


if __name__ == "__main__":
    {"log": log, "drive": drive}[sys.argv[1]](Path(sys.argv[2]))
