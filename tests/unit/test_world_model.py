"""A fitted ensemble asked as a `Dynamics`: exact where it must be, indifferent to batch mates."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from model_server.world_model import uncertainty
from moma_core import seeds
from moma_core.checks import check_query
from moma_core.ports import Dynamics, InvalidFieldError
from tests.builders import SPEC, make_query, picked, spoilt, world_model

GOAL = 4
"""The feature that never changes within an episode."""


def questions(dataset, count=40):
    rows = dataset.rows(np.arange(count))
    return make_query(state=rows.state, action=rows.action, seed=seeds.rows(5, count))


@pytest.fixture(scope="module")
def model(dataset):
    return world_model(dataset)


def test_it_is_a_dynamics(model):
    assert isinstance(model, Dynamics)
    assert model.describe().task == SPEC


def test_features_that_are_constant_in_episodes_are_carried_over_exactly(dataset, model):
    query = questions(dataset)
    state = query.state + 0.1234567  # values that no row of the data has
    after = model.predict(replace(query, state=state)).next_state
    assert torch.equal(after[:, GOAL], state[:, GOAL])
    moved = (after != state).float().mean(0)
    assert (moved[:GOAL] > 0.9).all()


def test_predictions_are_clipped_to_the_box(dataset):
    edge = torch.tensor([[-0.1, -0.1, -0.1, -0.1, -9.0, -0.3], [0.1, 0.1, 0.1, 0.1, 9.0, -0.2]])
    query = questions(dataset)
    free = world_model(dataset).predict(query)
    boxed = world_model(dataset, box=edge).predict(query)
    assert (free.next_state.abs() > 0.1).any()
    torch.testing.assert_close(boxed.next_state, free.next_state.clamp(edge[0, :-1], edge[1, :-1]))
    torch.testing.assert_close(boxed.reward, free.reward.clamp(-0.3, -0.2))
    assert ((boxed.reward == -0.3) | (boxed.reward == -0.2)).any()


def drawn_member(model, query, prediction):
    """Which member gave each row's answer, found by comparing with every member's own mean."""
    ensemble = model._ensemble
    with torch.inference_mode():
        inputs = ensemble.units.inputs(query.state, query.action)
        mean = ensemble(inputs.expand(3, *inputs.shape)).mean
        each = torch.stack([ensemble.units.next_state(query.state, m[:, :-1]) for m in mean])
    distance = (each - prediction.next_state).abs().amax(-1)
    assert (distance.amin(0) < 1e-4).all()
    assert (distance.sort(0).values[1] > 1e-3).float().mean() > 0.9
    return distance.argmin(0)


def test_rows_do_not_depend_on_batch_mates_or_on_their_order(dataset, model):
    query = questions(dataset)
    whole = model.predict(query)
    member = drawn_member(model, query, whole)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    for rows in (order, order[:7], torch.tensor([3])):
        some = picked(query, rows)
        part = model.predict(some)
        for name in ("next_state", "reward", "disagreement", "aleatoric", "reward_disagreement"):
            torch.testing.assert_close(
                getattr(part, name), getattr(whole, name)[rows], rtol=1e-4, atol=1e-5
            )
        assert torch.equal(drawn_member(model, some, part), member[rows])


def test_the_seed_decides_the_member_and_all_members_get_their_turn(dataset, model):
    one = picked(questions(dataset), [0] * 300)
    query = replace(one, seed=seeds.rows(8, 300))
    answer = model.predict(query)
    again = model.predict(query)
    assert torch.equal(answer.next_state, again.next_state)
    member = drawn_member(model, query, answer)
    assert torch.equal(member, seeds.choose(query.seed, 3))
    assert (member.bincount(minlength=3) > 70).all()
    # Doubt is the ensemble's, not the drawn member's.
    assert answer.disagreement.std() < 1e-6


def test_doubt_is_that_of_all_members_in_standardised_units(dataset, model):
    query = questions(dataset, 10)
    ensemble = model._ensemble
    inputs = ensemble.units.inputs(query.state, query.action)
    with torch.inference_mode():
        mean = ensemble(inputs.expand(3, *inputs.shape)).mean
    after = torch.stack([ensemble.units.next_state(query.state, m[:, :-1]) for m in mean])
    reward = torch.stack([ensemble.units.reward(m[:, -1]) for m in mean])
    units = ensemble.units
    slow = torch.cat(
        [(after - units.state_mean) / units.state_std,
         ((reward - units.reward_mean) / units.reward_std)[..., None]], dim=-1
    )  # fmt: skip
    answer = model.predict(query)
    torch.testing.assert_close(
        answer.disagreement, uncertainty.disagreement(slow), rtol=1e-3, atol=1e-5
    )
    torch.testing.assert_close(
        answer.reward_disagreement, slow[..., -1].var(0), rtol=1e-3, atol=1e-5
    )


BAD = {
    "state": [
        lambda x: x[:, :-1], lambda x: x[:0], lambda x: x.double(), lambda x: x * math.nan,
        lambda x: x.index_fill(0, torch.tensor([1]), math.inf),
    ],
    "action": [
        lambda x: x[:, :1], lambda x: x[:, :, :1], lambda x: x[:-1], lambda x: x * math.nan,
    ],
    "seed": [lambda x: x[:-1], lambda x: x.int()],
}  # fmt: skip
REFUSALS = [(name, spoil) for name, spoils in BAD.items() for spoil in spoils]


@pytest.mark.parametrize(("name", "spoil"), REFUSALS)
def test_rows_that_do_not_fit_are_refused_by_field(dataset, name, spoil):
    query = questions(dataset, 4)
    with pytest.raises(InvalidFieldError, match=f"^{name}: "):
        check_query(SPEC, spoilt(query, **{name: spoil(getattr(query, name))}))


def test_predict_itself_refuses_what_is_not_finite(dataset, model):
    query = questions(dataset, 4)
    query.state[2, 1] = math.nan
    with pytest.raises(InvalidFieldError, match=r"state\[2, 1\] is nan"):
        model.predict(query)


def test_a_model_lowered_to_bf16_answers_nearly_the_same(dataset):
    exact, lowered = world_model(dataset), world_model(dataset)
    lowered._ensemble.lower()
    first, second = (model.predict(questions(dataset)) for model in (exact, lowered))
    assert second.next_state.dtype == torch.float32
    assert not torch.equal(first.next_state, second.next_state)
    torch.testing.assert_close(first.next_state, second.next_state, rtol=0.02, atol=0.02)
    assert torch.equal(first.next_state[:, GOAL], second.next_state[:, GOAL])
