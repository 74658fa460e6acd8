"""Models of games: constants stay constants, and an end that always comes is learned."""

import numpy as np
import pytest
import torch

from model_server.world_model.fit import fit
from moma_core import tasks
from moma_core.config import DataConfig, ModelConfig


@pytest.mark.parametrize("name", ["polygame-plus", "icg"])
def test_a_model_of_a_game_is_finite_and_carries_constants_over_exactly(tmp_path, name):
    data = DataConfig(episodes=100, noise=0.1, variant="")
    log = tasks.get(name).make_data(tmp_path / "log", data, 4)
    small = ModelConfig(members=3, elites=2, width=16, depth=1, updates=180, evaluate_every=45)
    fitted = fit(log, small, 0, lambda _: None)
    units, rows = fitted.ensemble.units, log.rows(np.arange(log.transitions))
    inputs = units.inputs(rows.state, rows.action, rows.age)
    with torch.inference_mode():
        code = fitted.ensemble.codes.encode(rows.next_state)
        outputs = fitted.ensemble(inputs.expand(2, *inputs.shape), code)
        outputs = fitted.ensemble.expected(inputs, outputs)
    assert torch.isfinite(outputs.mean).all()
    assert torch.isfinite(units.targets(rows)).all()
    after = units.next_state(rows.state, outputs.mean[0, :, :-1])
    if name == "icg":
        assert outputs.termination_logit is None
        assert not units.constant.any()
        assert (after - rows.next_state).abs().mean() < 0.2
    else:
        assert torch.equal(after, rows.next_state)
        assert units.constant.tolist() == [True]
        # Every row ends the episode: the model must say so, not leave it to its first weights.
        assert (outputs.termination_logit > 0).all()
