"""The update does improve a policy: on a reward that anyone can solve, in a second."""

import torch

from moma_core.config import ActorConfig, PessimismConfig, PPOConfig, RolloutConfig
from moma_core.types import History, Prediction
from tests.builders import DIGEST, SPEC, FakeDynamics, imagine, make_config, make_ppo

CONFIG = make_config(
    rollout=RolloutConfig(rows=64, horizon=2),
    pessimism=PessimismConfig(disagreement=0.0),
    actor=ActorConfig(width=16, depth=1, memory="none"),
    ppo=PPOConfig(
        epochs=4, minibatch=64, learning_rate=1e-2, value_width=16, value_depth=1, kl_stop=1.0
    ),
)


class Bowl(FakeDynamics):
    """Nothing moves; the reward is highest where every agent's every action is 0.5."""

    def predict(self, query):
        zeros = torch.zeros(query.rows)
        miss = ((query.action - 0.5) * SPEC.action_mask).square().sum((1, 2))
        return Prediction(
            next_state=query.state, reward=-miss, terminated=zeros.bool(), disagreement=zeros,
            aleatoric=zeros, reward_disagreement=zeros, model=DIGEST,
            outside=torch.zeros(len(miss), query.state.shape[1] + 1, dtype=torch.bool),
        )  # fmt: skip


def test_a_few_updates_find_the_best_action_of_every_agent():
    ppo = make_ppo(CONFIG)
    rewards = []
    for _ in range(15):
        segment = imagine(ppo.snapshot(), CONFIG, Bowl())
        rewards.append(segment.reward.mean().item())
        ppo.update([segment])
    assert rewards[0] < -1.0
    assert rewards[-1] > 0.4 * rewards[0]
    observed = ppo.actors.observed(SPEC.observe(torch.zeros(1, 5)))
    mean = ppo.actors(observed, History.none(1, 2, 0, 5)).mean[0][SPEC.action_mask]
    assert (mean > 0.2).all()


def test_training_on_the_negated_reward_makes_it_worse():
    class Hill(Bowl):
        def predict(self, query):
            answer = super().predict(query)
            answer.reward.neg_()
            return answer

    ppo = make_ppo(CONFIG)
    first = imagine(ppo.snapshot(), CONFIG, Hill())
    for _ in range(8):
        ppo.update([imagine(ppo.snapshot(), CONFIG, Hill())])
    last = imagine(ppo.snapshot(), CONFIG, Hill())
    assert last.reward.mean() > first.reward.mean() + 0.3  # higher miss: it followed the sign
