"""Where a run spends its time: the functions to note, and what each counts as."""

from __future__ import annotations

import torch

import learner.algorithms.moma_ppo.ppo
import rollout_workers.worker
from benchmarks.speed.trace import Spot
from learner.algorithms.moma_ppo import losses
from learner.algorithms.moma_ppo.batch import Batch
from learner.algorithms.moma_ppo.critic import Critic
from learner.algorithms.moma_ppo.ppo import MomaPPO
from model_server.world_model.ensemble import Ensemble
from model_server.world_model.model import WorldModel
from moma_core.nets.distributions import Categorical, Gaussian
from moma_core.nets.policy import Actors
from moma_core.rpc.dynamics import DynamicsClient
from moma_core.rpc.learner import LearnerClient

UPDATE, ROLLOUT, ASKING, PREDICTING = "update", "rollout", "asking", "predicting"
MODEL, ACTORS, CRITIC = "model forward", "actors forward", "critic forward"
LOSSES, BACKWARD, ROWS, OPTIMISER = "losses", "backward", "rows", "optimiser"
FORWARD = (MODEL, ACTORS, CRITIC)
"""Calls of networks, nothing around them."""


def spots() -> list[Spot]:
    """Returns all functions to note."""
    terms = ("policy_gradient", "mean_bound_gradient", "value_gradient")
    drawn = [(owner, name) for owner in (Gaussian, Categorical) for name in ("log_prob", "entropy")]
    asked = ("assign", "fetch_policy", "submit")
    return [
        Spot(owner=MomaPPO, name="update", kind=UPDATE),
        Spot(owner=rollout_workers.worker, name="rollout", kind=ROLLOUT),
        *(Spot(owner=LearnerClient, name=name, kind=ASKING) for name in asked),
        Spot(owner=DynamicsClient, name="predict", kind=ASKING),
        Spot(owner=WorldModel, name="predict", kind=PREDICTING),
        Spot(owner=Ensemble, name="forward", kind=MODEL),
        Spot(owner=Actors, name="forward", kind=ACTORS),
        Spot(owner=Critic, name="forward", kind=CRITIC),
        *(Spot(owner=losses, name=name, kind=LOSSES) for name in terms),
        *(Spot(owner=o, name=n, kind=LOSSES, learning=True) for o, n in drawn),
        Spot(owner=torch.autograd, name="backward", kind=BACKWARD),
        Spot(owner=learner.algorithms.moma_ppo.ppo, name="prepare", kind=ROWS),
        Spot(owner=Batch, name="take", kind=ROWS),
        Spot(owner=Batch, name="remembered", kind=ROWS),
        Spot(owner=torch.optim.Adam, name="step", kind=OPTIMISER),
        Spot(owner=learner.algorithms.moma_ppo.ppo, name="limit", kind=OPTIMISER),
    ]
