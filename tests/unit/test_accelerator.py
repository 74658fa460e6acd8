"""A model behind padded, recorded passes answers as the model itself does."""

from dataclasses import fields

import pytest
import torch

from model_server.world_model.accelerator import Accelerated, bucket
from moma_core import seeds
from moma_core.ports import Dynamics, InvalidFieldError
from moma_core.types import Prediction
from tests.builders import SPEC, make_config, make_query, world_model, write_dataset

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, there is none")
DEVICES = ["cpu", pytest.param("cuda", marks=GPU)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("log") / "log", terminals=True)


def questions(rows, seed=0):
    random = torch.Generator().manual_seed(seed)
    low, high = SPEC.action_bounds
    action = low + (high - low) * torch.rand(rows, *low.shape, generator=random)
    state = torch.randn(rows, SPEC.state_width, generator=random)
    return make_query(state=state, action=action, seed=seeds.rows(seed, rows))


@pytest.mark.parametrize(
    ("rows", "size"), [(1, 64), (64, 64), (65, 128), (1000, 1024), (1024, 1024)]
)
def test_batches_are_padded_to_the_next_power_of_two(rows, size):
    assert bucket(rows) == size


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("lowered", [False, True])
def test_it_answers_as_the_model_itself_does_for_every_number_of_rows(dataset, device, lowered):
    plain, moved = (world_model(dataset, terminates=True) for _ in range(2))
    if lowered:
        for model in (plain, moved):
            model._ensemble.lower()
    accelerated = Accelerated(moved, torch.device(device))
    assert isinstance(accelerated, Dynamics)
    assert accelerated.describe() == plain.describe()
    # A smaller batch after a larger one of the same size: what is left in the padding is not seen.
    for seed, rows in enumerate((64, 3, 100, 70)):
        got, expected = (m.predict(questions(rows, seed)) for m in (accelerated, plain))
        for field in fields(Prediction):
            one, other = getattr(got, field.name), getattr(expected, field.name)
            if field.name == "model":
                assert one == other
                continue
            assert one.dtype == other.dtype
            limit = 0.02 if lowered else 1e-4
            torch.testing.assert_close(one, other, rtol=limit, atol=limit)
    assert accelerated.metrics() == {"model_server/rows": 237.0}


def test_answers_do_not_change_when_the_next_question_is_asked(dataset):
    accelerated = Accelerated(world_model(dataset), torch.device("cpu"))
    first = accelerated.predict(questions(5, 1))
    before = first.next_state.clone()
    accelerated.predict(questions(5, 2))
    assert torch.equal(first.next_state, before)


def test_it_refuses_what_the_model_refuses(dataset):
    query = questions(4)
    query.state[1, 0] = float("nan")
    with pytest.raises(InvalidFieldError, match=r"state\[1, 0\] is nan"):
        Accelerated(world_model(dataset), torch.device("cpu")).predict(query)


@GPU
def test_learning_on_a_gpu_is_learning_on_a_cpu_but_for_rounding():
    from tests.builders import imagine, make_ppo

    snapshots = []
    for device in ("cpu", "cuda"):
        config = make_config()
        ppo = make_ppo(config, device=torch.device(device))
        snapshot = ppo.snapshot()
        metrics = ppo.update([imagine(snapshot, config, sequence=k) for k in range(2)]).metrics
        assert metrics["losses/skipped_steps"] == 0
        snapshots.append(ppo.snapshot().parameters)
    for name, value in snapshots[0].items():
        assert snapshots[1][name].device.type == "cpu"
        torch.testing.assert_close(snapshots[1][name], value, rtol=1e-3, atol=1e-3)
