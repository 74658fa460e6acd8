"""One of several learners that learn together from a small log: a process of its own.

`python -m tests.integration.take_part RANK LEARNERS DIRECTORY` writes what each case came to.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import psutil
import torch
from safetensors.torch import save_file

from learner import build, rendezvous
from learner.algorithms.group import ALONE, Group
from learner.algorithms.offline import Offline
from learner.sharing import Lead
from moma_core.config import ActorConfig, BCConfig, Config, OfflineConfig, TD3BCConfig
from moma_core.datasets import Dataset
from tests.builders import SPEC, imagine, make_config

ROUNDS = 2
CONFIG = make_config(
    bc=BCConfig(rounds=4, updates=3, minibatch=16),
    offline=OfflineConfig(rounds=4, updates=4, minibatch=16, width=8),
)
PPO = replace(CONFIG.ppo, epochs=3, kl_stop=1.0)


@dataclass(frozen=True)
class Case:
    """What learns, and what is spoilt while it does."""

    config: Config
    log: str = "log"
    spoilt: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    poisoned: bool = False
    """One row's action is no number: in one learner's share alone."""


def ppo(**settings):
    """MOMA-PPO with other settings of its update, in minibatches of which the last has one row."""
    return replace(CONFIG, ppo=replace(PPO, **settings))


def offline(name, **sections):
    """Another algorithm."""
    return replace(CONFIG, algorithm=name, **sections)


def unweighted():
    """Every share counts alike."""
    return mock.patch.object(Group, "weight", lambda self, _: 1 / self.size)


def own_size():
    """Each learner scales values by what it sees itself."""
    return mock.patch.object(Offline, "_joint", lambda _, mean: mean.detach())


def own_draws():
    """Each learner draws for its own rows alone."""

    def drawn(_, draw, shape, noise):
        return draw(shape, generator=noise)

    return mock.patch.object(Offline, "_drawn", drawn)


ATTENTION = ActorConfig(width=8, depth=1, frames=3, memory="attention", state_dependent_std=True)
CASES = {
    "ppo": Case(ppo()),
    "ppo joint": Case(ppo(ratio="joint")),
    "ppo attention": Case(replace(ppo(begin="scratch", near=0.0), actor=ATTENTION)),
    "ppo running": Case(ppo(near=0.0, standardise="running")),
    "ppo stops": Case(ppo(kl_stop=1e-7)),
    "ppo last of one row": Case(ppo(minibatch=29)),
    "ppo poisoned": Case(ppo(), poisoned=True),
    "bc": Case(offline("bc")),
    "iql": Case(offline("iql")),
    "ma_iql": Case(offline("ma_iql")),
    "itd3_bc": Case(offline("itd3_bc")),
    "matd3_bc": Case(offline("matd3_bc", td3_bc=TD3BCConfig(others="policy"))),
    "cql": Case(offline("cql")),
    "cql of choices": Case(offline("cql"), log="choices"),
    "omar": Case(offline("omar")),
}
SPOILT = {
    "ppo, unweighted": Case(ppo(), spoilt=unweighted),
    "itd3_bc, own size": Case(offline("itd3_bc"), spoilt=own_size),
    "cql, own draws": Case(offline("cql"), spoilt=own_draws),
}
"""What each has to differ from is named before the comma."""


def segments(algorithm, case):
    """A round's segments, as workers would make them."""
    if not algorithm.imagines:
        return ()
    config = case.config
    made = [imagine(algorithm.snapshot(), config, sequence=k, task=SPEC) for k in range(2)]
    if case.poisoned:
        made[0].log_prob[0, 0] = torch.nan
    return made


def learn(case, directory, lead, rounds=None):
    """Learns for some rounds; returns the state, with what was measured.

    Args:
        case: what learns.
        directory: where its log lies.
        lead: the first learner's side; None: another one's.
        rounds: what another one is told.
    """
    dataset = Dataset.load(directory / case.log)
    group = ALONE if lead is None and rounds is None else (lead or rounds[0]).group
    with case.spoilt():
        algorithm = build.algorithm(case.config, dataset, directory / "clones", group)
        if lead is not None:
            lead.share(algorithm)
        else:
            rounds[0].take(algorithm, lambda: False)
        measured = {}
        for _ in range(ROUNDS):
            if lead is None:
                made = next(rounds[1])
            else:
                made = segments(algorithm, case)
                made = [type(made[0]).joined(made)] if made else ()
                lead.tell(made)
            measured = dict(algorithm.update(made).metrics)
    if case.poisoned:
        del measured["losses/grad_norm"]  # of gradients that nobody went down
    measures = {f"measured.{k}": torch.tensor(float(v)) for k, v in measured.items()}
    return {name: t.clone() for name, t in (algorithm.state() | measures).items()}


def alone(case, directory):
    """Learns without anybody else."""
    return learn(case, directory, Lead(ALONE, None, "cpu"))


def listens():
    """Where this process can be called."""
    found = psutil.Process().net_connections()
    return sorted({c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN})


def main(rank, learners, directory):
    """Learns every case together with the others, and writes what came of it."""
    torch.set_num_threads(1)
    place = directory / "addresses" / "learners.json"

    def write(lead, rounds):
        for name, case in (CASES | SPOILT).items():
            save_file(learn(case, directory, lead, rounds), directory / f"{learners} {rank} {name}")
        (directory / f"{learners} {rank} listens").write_text(" ".join(listens()))

    if rank:
        member = rendezvous.join(place, rank, learners, "cpu", lambda: False)
        rounds = member.rounds(lambda: False)
        write(None, (member, rounds))
        assert next(rounds, None) is None
        return
    with rendezvous.leading(place, learners, "cpu", lambda: False) as lead:
        write(lead, None)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
