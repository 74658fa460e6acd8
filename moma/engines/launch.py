"""Where `moma train` meets an engine: what is written, what is handed to a queue, what runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from moma.engines import keys, kubernetes, slurm, training
from moma.engines.base import Engine, Nodes
from moma.engines.deployment import Deployment
from moma.engines.local import LocalEngine
from moma_core import documents
from moma_core.address import FREE, Address
from moma_core.config import Config
from moma_core.rpc.trust import AUTHORITY
from moma_core.runtime.listening import Listening
from moma_core.runtime.run import RunDirectory
from moma_core.storage import write_text

_DAYS = 365
_POD = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
"""A name that every object of Kubernetes may have, with what JobSet appends to it."""


def queued(deployment: Deployment) -> bool:
    """True where the run is handed to a batch system instead of run by this process."""
    return deployment.engine == "slurm" and not slurm.in_step()


def prepare(run: RunDirectory, config: Config, listening: Listening, deployment: Deployment) -> str:
    """Writes what would run into the run's directory and, but for a dry run, hands it on.

    Args:
        run: the run's directory, which has its config.
        config: the run's.
        listening: what the learner was told of where to listen.
        deployment: where the roles are to run.

    Returns:
        What was written and done, in lines.

    Raises:
        ValueError: the batch system refuses.
    """
    planned = training.plan(config, deployment)
    shown = {"first": "learner", "learners": config.learners, **asdict(planned)}
    plan = run.path / "plan.json"
    write_text(plan, json.dumps(shown, indent=1))
    written = [run.config_path, plan]
    if deployment.engine == "slurm":
        written.append(_script(run, config, listening, deployment))
    if deployment.engine == "kubernetes":
        written.append(_manifest(run, config, deployment))
    lines = [f"wrote {path}" for path in written]
    if not deployment.dry_run:
        lines.append(slurm.submit(str(written[-1])))
        lines.append(f"see: moma status {run.path}")
    return "\n".join(lines) + "\n"


@contextmanager
def engine(
    run: RunDirectory, config: Config, deployment: Deployment
) -> Iterator[tuple[Engine, str]]:
    """Yields what starts the roles of a run on its nodes, and where other nodes call this one.

    Args:
        run: where logs and addresses go.
        config: the run's.
        deployment: which engine, and on how many nodes.

    Raises:
        ValueError: the engine is not there, or has not the nodes.
    """
    here, cores = LocalEngine(run.logs, run.addresses), deployment.cores
    if deployment.engine == "ray":
        try:
            from moma.engines import ray  # it is an extra
        except ImportError as error:
            raise ValueError(f'{error}; --engine ray needs: pip install "moma-ppo[ray]"') from error
        with ray.engine(here, run.logs, deployment, cores, int(config.device == "cuda")) as cluster:
            yield cluster, ray.own_host()
    elif deployment.engine == "slurm":
        hosts = slurm.other_hosts()
        steps = [LocalEngine(run.logs, run.addresses, slurm.begin(h, cores), h) for h in hosts]
        yield Nodes([here, *steps]), slurm.own_host()
    else:
        yield here, FREE.host


def reachable(run: RunDirectory, listening: Listening, host: str) -> Listening:
    """Returns where the learner listens: where it was told, or where the other nodes reach it.

    Args:
        run: whose keys are used where others call and none were named.
        listening: what was told.
        host: this node's address, as the other nodes call it.
    """
    here = Address(host, 0)
    if here.loopback or not listening.listen.loopback:
        return listening
    return replace(listening, listen=here, keys=listening.keys or _keys(run))


def _keys(run: RunDirectory) -> Path:
    """Returns the run's own keys, which are made the first time."""
    directory = run.path / "keys"
    if not (directory / AUTHORITY).exists():
        keys.make(directory, (), _DAYS, mutual=False)
    return directory


def _script(
    run: RunDirectory, config: Config, listening: Listening, deployment: Deployment
) -> Path:
    words = [
        "train",
        "--resume",
        str(run.path.resolve()),
        *replace(deployment, node_cores=deployment.cores).words(),
    ]
    if deployment.nodes > 1:
        words += replace(listening, keys=listening.keys or _keys(run).resolve()).words()
    path = run.path / "job.sbatch"
    text = slurm.script(
        run.name,
        str(run.logs.resolve()),
        deployment.nodes,
        deployment.cores,
        config.device == "cuda",
        deployment.slurm,
        words,
    )
    write_text(path, text)
    return path


def _manifest(run: RunDirectory, config: Config, deployment: Deployment) -> Path:
    if not _POD.fullmatch(run.name):
        raise ValueError(
            f"run name {run.name!r} names objects of Kubernetes: lower-case letters, digits and "
            "'-', 40 at most; see --run-dir"
        )
    path = run.path / "manifest.json"
    shown = {file.name: file.read_bytes() for file in sorted(_keys(run).iterdir())}
    text = kubernetes.manifest(
        run.name,
        documents.dump(config),
        shown,
        deployment,
        cores=deployment.cores,
        gpu=config.device == "cuda",
        workers=config.workers,
    )
    write_text(path, text)
    path.chmod(0o600)  # it holds the run's keys
    return path
