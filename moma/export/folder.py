"""A run's policy as folders, one per agent, that hold all that is needed to act: `moma export`."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from moma.evaluation import policies
from moma.export import parity
from moma.export.agent import AgentPolicy, save
from moma.export.card import About, agent_row, card
from moma.export.contract import contract
from moma.export.parity import Episodes
from moma.export.standing import Standing, standing
from moma_core import documents
from moma_core.config import Config
from moma_core.datasets import DatasetError
from moma_core.nets.policy import Actors
from moma_core.runtime import subject
from moma_core.runtime.run import RunDirectory
from moma_core.storage import save_tensors
from moma_core.types import TaskSpec

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RUNNER = Path(__file__).with_name("run_policy.py")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What came of an export."""

    difference: float
    """Largest difference to torch, over all agents."""
    source: str
    """Episodes that were played beside torch, in words."""
    standing: Standing


def export(
    run: RunDirectory, config: Config, out: Path, policy: str, *, unsupported: bool
) -> Exported:
    """Writes a policy of a run as a directory, whole or not at all.

    Args:
        run: the run's directory.
        config: the run's.
        out: the directory; it may not exist.
        policy: the policy's name in the run.
        unsupported: whether one that nothing speaks for is let go, marked as such.

    Raises:
        ValueError: the directory exists, the policy is not there or nothing speaks for it, or its
            export differs from torch.
    """
    if out.exists():
        raise ValueError(f"{out} exists; an export needs a new directory")
    known = standing(run, policy)
    if not (known.trusted or unsupported):
        raise ValueError(
            f"policy {policy} of {run.path} is {known.judgement} ({'; '.join(known.reasons)}) and "
            "nobody measured it; --unsupported exports it all the same, marked as such"
        )
    about = subject.kept(run)
    actors = policies.load(run, policy, about.team, config.actor)
    episodes = _episodes(run, config, actors)
    told = About(
        run=run.name,
        policy=policy,
        subject=about,
        standing=known,
        algorithm=config.algorithm if policy == policies.TEAM else "bc",
        source=episodes.source,
    )
    aside = out.absolute().with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        worst = _write(aside, actors, told, episodes)
        (aside / "train_config.json").write_text(documents.dump(config), encoding="utf-8")
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Exported(difference=worst, source=episodes.source, standing=known)


def _episodes(run: RunDirectory, config: Config, actors: Actors) -> Episodes:
    """Returns what is played: the log, or, where it is not at hand, what the normaliser tells."""
    try:
        return parity.logged(subject.log(run, config))
    except (DatasetError, ValueError):
        return parity.drawn(actors, config.seed)


def _write(aside: Path, actors: Actors, told: About, episodes: Episodes) -> float:
    """Fills the directory; returns the largest difference to torch."""
    spec = actors.spec
    alone = [AgentPolicy(actors, agent) for agent in range(len(spec.agents))]
    places = [aside / name for name in _folders(spec)]
    for policy, place in zip(alone, places, strict=True):
        place.mkdir(parents=True)
        save(policy, place / "policy.onnx")
    found = parity.compare(actors, alone, [place / "policy.onnx" for place in places], episodes)
    worst = max(one.difference for one in found)
    if not worst <= parity.LIMIT:
        raise ValueError(
            f"the export differs from torch by {worst:.1e} over {episodes.source}; "
            f"{parity.LIMIT:.0e} is the most that is let go"
        )
    rows = [agent_row(spec, k, place.name, alone[k]) for k, place in enumerate(places)]
    for k, (policy, place) in enumerate(zip(alone, places, strict=True)):
        terms = contract(told.subject, k, policy, told.standing, found[k])
        settings = asdict(actors.config) | {"type": "moma", "agent": spec.agents[k]}
        files = {
            "policy_contract.json": json.dumps(terms, indent=1),
            "config.json": json.dumps(settings, indent=1),
            "README.md": card(told, [rows[k]], found[k].difference),
        }
        for name, text in files.items():
            (place / name).write_text(text, encoding="utf-8")
        weights = {n: part.contiguous() for n, part in policy.actors.state_dict().items()}
        save_tensors(weights, place / "model.safetensors")
    (aside / "README.md").write_text(card(told, rows, worst), encoding="utf-8")
    shutil.copyfile(_RUNNER, aside / _RUNNER.name)
    return worst


def _folders(spec: TaskSpec) -> list[str]:
    """Returns a folder's name for every agent: its own where all are plain, else its number."""
    if all(_PLAIN.fullmatch(name) for name in spec.agents):
        return list(spec.agents)
    return [f"agent_{index}" for index in range(len(spec.agents))]
