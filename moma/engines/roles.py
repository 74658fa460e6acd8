"""A run's roles as an engine starts them: their packages, their words, where they listen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moma.engines import topology
from moma.engines.base import RoleSpec
from moma_core import own_code
from moma_core.address import Address
from moma_core.config import Config
from moma_core.runtime.listening import LOOPBACK, Listening
from moma_core.runtime.run import RunDirectory


def served(config: Config, model: Path) -> list[str]:
    """Returns the words that tell a server what to serve."""
    if config.dynamics == "simulator":
        return ["--simulator", config.task]
    return ["--model", str(model), "--precision", config.precision, "--device", config.device]


def server_role(
    name: str,
    served: Sequence[str],
    planned: topology.Server,
    *,
    deterministic: bool,
    listening: Listening = LOOPBACK,
) -> RoleSpec:
    """Returns a model server as it is started.

    Args:
        name: unique within the run.
        served: the words that tell what to serve.
        planned: the plan's.
        deterministic: one request a batch.
        listening: where it listens, beyond loopback where other nodes call it.
    """
    words = [*served, "--threads", str(planned.threads)]
    words += ["--direct"] * planned.direct + ["--deterministic"] * deterministic
    return RoleSpec(
        name=name,
        package="model_server",
        words=tuple(words),
        listening=listening,
        core=planned.core,
    )


def learners(
    run: RunDirectory, config: Config, servers: Sequence[Address], listening: Listening
) -> list[RoleSpec]:
    """Returns the learner, and those that share its updates, which find it in the run's directory.

    Args:
        run: the run.
        config: its config.
        servers: where the model servers are called.
        listening: where the first learner listens.
    """
    words = ("--resume", str(run.path), *own_code.words(config.eval.env, config.task))
    asked = ("--model-server", *map(str, servers)) if servers else ()
    first = RoleSpec(
        name="learner",
        package="learner",
        words=(*words, *asked),
        listening=listening,
        leads=True,
    )
    others = [
        RoleSpec(
            name=f"learner-{rank}",
            package="learner",
            words=(*words, "--rank", str(rank)),
            listening=LOOPBACK,
        )
        for rank in range(1, config.learners)
    ]
    return [first, *others]


def worker_role(name: str, words: Sequence[str], core: int | None) -> RoleSpec:
    """Returns a worker as it is started.

    Args:
        name: unique within the run.
        words: its command line.
        core: the only one that it may run on; None: any.
    """
    return RoleSpec(
        name=name, package="rollout_workers", words=tuple(words), listening=None, core=core
    )
