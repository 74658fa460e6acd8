"""What every command that plays a run's policies is told: the code that they are played in."""

from __future__ import annotations

from dataclasses import dataclass, replace

from moma_core import own_code
from moma_core.config import Config
from moma_core.runtime.run import RunDirectory


@dataclass(frozen=True, kw_only=True)
class Played:
    """A run whose policies are played."""

    env: str = ""
    """Environment to play in: package.module:factory of a ParallelEnv; default: the task's own."""
    task: str = ""
    """Task of the run where it is code: package.module:task, as it was trained with."""

    def config(self, run: RunDirectory) -> Config:
        """Returns a run's config with what this call names: no file of a run names code."""
        config = run.config()
        task = config.task
        if own_code.is_place(task):  # the run knows its team without it
            task = self.task
            own_code.allow(task)
        return replace(config, task=task, eval=replace(config.eval, env=self.env))
