"""The team on film: its first episode as an animated picture, drawn without a display."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from ctypes.util import find_library
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image
from torch import Tensor

from moma.evaluation import policies
from moma_core import own_code, seeds
from moma_core.config import Config
from moma_core.runtime import subject
from moma_core.runtime.process import LIFELINE
from moma_core.runtime.run import RunDirectory
from moma_core.stopping import Stop
from moma_core.storage import write_bytes
from moma_core.tasks import Drawn, Environment, play

BACKEND = "MUJOCO_GL"
"""Variable by which MuJoCo is told what draws; a process can be told once."""
_BACKENDS = {"egl": "EGL", "osmesa": "OSMesa"}
"""What draws without a display, the faster one first, and the library that it needs."""
_FRAMES = 200
"""Pictures of a film; of a longer episode it shows every n-th step."""
_SIDE, _FRAME_MS = 280, 50
_LIMIT_S = 180.0
_LOOK_S = 0.1


class _Filming:
    """An environment that is drawn at every n-th step.

    Args:
        environment: one copy of it.
        every: n.
    """

    def __init__(self, environment: Environment, every: int) -> None:
        if not (isinstance(environment, Drawn) and environment.draws):
            raise ValueError(
                "its environment draws no picture of itself (a ParallelEnv does so if it is made "
                'with render_mode="rgb_array")'
            )
        self._environment, self._drawn, self._every, self._step = environment, environment, every, 0
        self.frames = list[UInt8[np.ndarray, "height width 3"]]()

    def reset(self, seed: int) -> Float32[Tensor, "B S"]:
        """Starts the episode."""
        state = self._environment.reset(seed)
        self._take()
        return state

    def step(
        self, action: Float32[Tensor, "B A U"]
    ) -> tuple[Float32[Tensor, "B S"], Float32[Tensor, " B"], Bool[Tensor, " B"]]:
        """Steps, and draws where that is due."""
        stepped = self._environment.step(action)
        self._step += 1
        if self._step % self._every == 0:
            self._take()
        return stepped

    def _take(self) -> None:
        try:
            self.frames.append(self._drawn.frame())
        except Exception as error:  # of whatever draws
            by = os.environ.get(BACKEND, "nothing")
            raise ValueError(
                f"what draws ({BACKEND}={by}) fails: {type(error).__name__}: {error}"
            ) from error


def film(run: RunDirectory, config: Config, policy: str = policies.TEAM) -> None:
    """Films the first episode that `moma evaluate` plays, to `run.film`.

    Args:
        run: the run.
        config: its config, with the environment.
        policy: which of its policies, by name.

    Raises:
        ValueError: there is no environment, or it draws nothing.
    """
    task = subject.task(config, run)
    every = -(-task.spec.episode_limit // _FRAMES)
    filming = _Filming(task.copies(1), every)
    actors = policies.load(run, policy, task.spec, config.actor)
    play.evaluate(actors, task.spec, filming, seeds.derive(config.seed, "evaluation"))
    write_bytes(run.film, animated(filming.frames))


def animated(frames: Sequence[UInt8[np.ndarray, "height width 3"]]) -> bytes:
    """Returns frames as a GIF that begins again at its end."""
    pictures = [Image.fromarray(frame) for frame in frames]
    for picture in pictures:
        picture.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    first, *rest = pictures
    first.save(
        buffer, "GIF", save_all=True, append_images=rest, duration=_FRAME_MS, loop=0, optimize=True
    )
    return buffer.getvalue()


def drawable(run: RunDirectory, config: Config) -> bool:
    """Says whether a run's environment draws a picture of itself."""
    task = subject.task(config, run)
    copy = None if task.environment is None else task.copies(1)
    return isinstance(copy, Drawn) and copy.draws


def attempt(run: RunDirectory, config: Config, stopping: Stop) -> str:
    """Films a run's team in a process of its own, which what draws may bring down.

    Args:
        run: the run.
        config: its config, with the environment.
        stopping: true once this process shall stop.

    Returns:
        Why there is no film; empty where there is one.
    """
    why = "neither EGL nor OSMesa is installed; on Debian: apt-get install libosmesa6"
    there = [name for name, library in _BACKENDS.items() if find_library(library)]
    for backend in [os.environ[BACKEND]] if BACKEND in os.environ else there:
        why = _filmed(run, config, backend, stopping)
        if not why:
            break
    return why


def _filmed(run: RunDirectory, config: Config, backend: str, stopping: Stop) -> str:
    """Starts `moma film` with what shall draw; returns its error where it failed."""
    words = ["film", str(run.path), *own_code.words(config.eval.env, config.task)]
    told = {BACKEND: backend, "SDL_VIDEODRIVER": "dummy", LIFELINE: "1"}
    log = Path(run.logs / "film.log")
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "moma", *words],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=os.environ | told,
            start_new_session=True,
        )
        with child:
            end = time.monotonic() + _LIMIT_S
            while child.poll() is None and time.monotonic() < end and not stopping():
                time.sleep(_LOOK_S)
            if child.poll() is None:
                child.kill()
                return "stopped" if stopping() else f"not done after {_LIMIT_S:.0f} s"
    said = log.read_text("utf-8", "replace").splitlines() or [f"status {child.returncode}"]
    errors = [line for line in said if line.startswith("error: ")] or said
    return "" if child.returncode == 0 else errors[-1].removeprefix("error: ")
