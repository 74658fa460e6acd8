"""Fitting: learns what can be learnt, holds out whole episodes, keeps the best, repeats itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model_server.world_model import likelihood
from model_server.world_model.ensemble import Ensemble, Outputs
from model_server.world_model.fit import _Best, fit
from moma_core import recipes
from moma_core.datasets.holdout import split
from tests.builders import SPEC, make_config

CONFIG = make_config().model
LEARNS = replace(CONFIG, width=32, updates=150, evaluate_every=50, learning_rate=1e-2)


def ignore(_):
    """For callers that do not look at the progress."""


def sides_of(dataset, config, seed):
    """The rows trained on and those held out, listed."""
    return [
        rows.at(np.arange(len(rows)))
        for rows in split(dataset, config.holdout, config.holdout_by, seed)
    ]


def predicted(fitted):
    """Held-out means in output units, averaged over the members, and what they should be."""
    data, units = fitted.holdout, fitted.ensemble.units
    inputs = units.inputs(data.state, data.action, data.age)
    with torch.inference_mode():
        outputs = fitted.ensemble(inputs.expand(len(fitted.elites), *inputs.shape))
    return outputs, units.targets(data)


@pytest.mark.parametrize("network", ["trunk", "separate"])
def test_both_networks_learn_the_system_on_held_out_episodes(terminal_dataset, network):
    fitted = fit(terminal_dataset, replace(LEARNS, network=network), 0, ignore)
    outputs, targets = predicted(fitted)
    varies = torch.cat([~fitted.ensemble.units.constant, torch.ones(1, dtype=torch.bool)])
    error = (outputs.mean.mean(0) - targets)[:, varies].square().mean()
    assert error < 0.4 * targets[:, varies].square().mean()


def test_a_termination_head_learns_what_can_be_separated(terminal_dataset):
    fitted = fit(terminal_dataset, LEARNS, 0, ignore)
    data = terminal_dataset.rows(np.arange(terminal_dataset.transitions))
    inputs = fitted.ensemble.units.inputs(data.state, data.action, data.age)
    with torch.inference_mode():
        logit = fitted.ensemble(inputs.expand(2, *inputs.shape)).termination_logit
    hit = (logit > 0) == data.terminated
    share = data.terminated.float().mean()
    assert 0.1 < share < 0.6
    assert hit[:, data.terminated].float().mean() > 0.85
    assert hit[:, ~data.terminated].float().mean() > 0.85


def test_without_terminals_there_is_nothing_to_predict_them_with(dataset):
    fitted = fit(dataset, CONFIG, 0, ignore)
    assert "termination" not in fitted.ensemble.outputs
    assert predicted(fitted)[0].termination_logit is None


def test_the_reference_recipe_fits(dataset):
    published = recipes.get("reacher-tiny", "reference").model
    small = replace(
        published, width=16, depth=2, updates=20, evaluate_every=10, learning_rate=1e-3,
        batch=32, members=3, elites=2,
    )  # fmt: skip
    fitted = fit(dataset, small, 0, ignore)
    outputs, targets = predicted(fitted)
    assert torch.isfinite(outputs.mean).all()
    # Raw units: the networks answer with the next state and the reward as they are.
    assert torch.equal(targets[:, :-1], fitted.holdout.next_state)
    assert torch.equal(targets[:, -1], fitted.holdout.reward)


@pytest.mark.parametrize("seed", range(5))
def test_no_episode_is_on_both_sides(dataset, seed):
    train, held = sides_of(dataset, replace(CONFIG, holdout=0.3), seed)
    sides = [set(dataset.episode_of(rows).tolist()) for rows in (train, held)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == round(0.3 * dataset.episodes)
    everything = np.sort(np.concatenate([train, held]))
    np.testing.assert_array_equal(everything, np.arange(dataset.transitions))


def test_by_transition_episodes_are_on_both_sides(dataset):
    train, held = sides_of(dataset, replace(CONFIG, holdout=0.3, holdout_by="transition"), 0)
    sides = [set(dataset.episode_of(rows).tolist()) for rows in (train, held)]
    assert sides[0] & sides[1]
    assert len(held) == round(0.3 * dataset.transitions)


def test_the_split_depends_on_the_seed(dataset):
    first, again, other = (sides_of(dataset, CONFIG, seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize("by", ["episode", "transition"])
@pytest.mark.parametrize("holdout", [1e-6, 0.999])
def test_both_sides_of_the_split_hold_something(dataset, by, holdout):
    train, held = sides_of(dataset, replace(CONFIG, holdout=holdout, holdout_by=by), 0)
    assert len(train) > 0
    assert len(held) > 0


def weights(fitted):
    return torch.cat([p.flatten() for p in fitted.ensemble.parameters()])


def test_one_seed_gives_one_fit_and_another_seed_another(dataset):
    first, again, other = (fit(dataset, CONFIG, seed, ignore) for seed in (1, 1, 2))
    assert first.elites == again.elites
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


def diverging(stopping):
    """Learns for a while, then is destroyed by a learning rate that is far too high."""
    return replace(
        CONFIG, stopping=stopping, schedule="constant", learning_rate=0.3, updates=60,
        evaluate_every=5, patience=100, clock="never",
    )  # fmt: skip


def test_stopping_at_best_keeps_each_members_best_weights(dataset):
    looks = {"best": [], "last": []}
    fits = {
        stopping: fit(
            dataset, diverging(stopping), 0, lambda p, s=stopping: looks[s].append(p.best)
        )
        for stopping in looks
    }
    for stopping, fitted in fits.items():
        outputs, targets = predicted(fitted)
        score = likelihood.nll(fitted.ensemble, outputs, targets, uncoded(targets))
        # The weights that were kept are those that the score was measured with.
        kept = fitted.scores[list(fitted.elites)]
        torch.testing.assert_close(score, kept, rtol=1e-3, atol=1e-3)
        assert kept.tolist() == sorted(kept.tolist())
        final = looks[stopping][-1]
        assert torch.equal(final, fitted.scores)
    history = torch.stack(looks["last"])
    torch.testing.assert_close(fits["best"].scores, history.amin(0))
    torch.testing.assert_close(fits["last"].scores, history[-1])
    assert (fits["best"].scores < fits["last"].scores).any()


def test_fitting_stops_when_no_member_improves_any_more(dataset):
    seen = []
    config = replace(diverging("best"), updates=2000, patience=2, learning_rate=1.0)
    fit(dataset, config, 0, lambda p: seen.append(p.update))
    assert seen[-1] < 2000
    assert seen == list(range(5, seen[-1] + 1, 5))


def uncoded(targets):
    """Codes of rows where no feature is coded."""
    return torch.zeros(len(targets), dtype=torch.int64)


def outputs(mean, log_variance):
    return Outputs(mean=mean, log_variance=log_variance, code_logit=None, termination_logit=None)


def test_nll_equals_the_normal_density_without_its_constant():
    random = torch.Generator().manual_seed(0)
    mean, log_variance = (torch.randn(2, 7, 6, generator=random) for _ in range(2))
    target = torch.randn(7, 6, generator=random)
    ensemble = Ensemble(SPEC, CONFIG, members=2, terminates=False)
    ensemble.units.constant[4] = True
    normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    density = -normal.log_prob(target) - 0.5 * torch.log(torch.tensor(2 * torch.pi))
    slow = density[..., [0, 1, 2, 3, 5]].mean((1, 2))
    found = likelihood.nll(ensemble, outputs(mean, log_variance), target, uncoded(target))
    torch.testing.assert_close(found, slow)


def test_gradients_are_clipped_member_by_member():
    ensemble = Ensemble(SPEC, CONFIG, members=3, terminates=False)
    for parameter in ensemble.parameters():
        parameter.grad = torch.ones_like(parameter) * torch.tensor([1e-4, 1.0, 9.0]).view(
            3, *[1] * (parameter.dim() - 1)
        )
    likelihood.clip(ensemble, 0.5)
    flat = torch.cat([p.grad.flatten(1) for p in ensemble.parameters()], dim=1)
    norm = flat.norm(dim=1)
    assert norm[0].item() == pytest.approx(1e-4 * flat.shape[1] ** 0.5, rel=1e-4)
    torch.testing.assert_close(norm[1:], torch.full((2,), 0.5), rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("gains", "waited"),
    [
        ([0.02] * 4, [0, 0, 0, 0]),
        ([0.02, 0.004, 0.004, 0.004, 0.004], [0, 1, 2, 0, 1]),
        ([0.001] * 4, [1, 2, 3, 4]),
        ([-0.5, -0.5], [1, 2]),
    ],
)
def test_improvements_count_once_they_sum_up_to_a_hundredth(gains, waited):
    best = _Best(Ensemble(SPEC, CONFIG, members=2, terminates=False), CONFIG)
    best.take(torch.zeros(2))
    score, found = 0.0, []
    for gain in gains:
        score -= gain
        best.take(torch.tensor([score, score]))
        found.append(best.waited)
    assert found == waited
    assert best.score.tolist() == pytest.approx([min(score, 0.0)] * 2)
