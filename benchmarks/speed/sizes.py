"""The sizes of world models that are measured, and one of each with weights that nobody fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from model_server.world_model import files
from model_server.world_model.calibrate import QUANTILES
from model_server.world_model.ensemble import Ensemble
from moma_core import recipes
from moma_core.config import Config, ModelConfig
from moma_core.nets.stacked import StackedLinear
from moma_core.types import ModelCard, TaskSpec

_RECIPE = "reacher-leader"
_NEVER = -1e4
"""Logit of a termination: nothing may end, so that every row does all steps."""
_BOX = 1e6


@dataclass(frozen=True, kw_only=True)
class Size:
    """A world model's size, and the run that it is measured in."""

    name: str
    model: ModelConfig
    """`members` are trained, `elites` are used."""
    terminates: bool = False
    horizon: int = 20
    """Steps of a rollout."""
    recipe: str = _RECIPE
    """Whose task and policies are used."""
    whole: bool = False
    """Whether the update and the whole system are measured too."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where all of that computes."""

    @property
    def config(self) -> Config:
        """The run's whole config, nothing being cut."""
        recipe = recipes.get(self.recipe)
        never = replace(recipe.pessimism, cut=1e9)
        return replace(recipe, model=self.model, pessimism=never, device=self.device)

    def imagining(self, rows: int) -> Config:
        """Returns the config with segments of `rows` rows."""
        config = self.config
        rollout = replace(config.rollout, rows=rows, horizon=self.horizon)
        return replace(config, rollout=rollout)


def _sizes() -> dict[str, Size]:
    demo = recipes.get(_RECIPE).model
    trunk = replace(demo, network="trunk")
    published = recipes.get(_RECIPE, "reference").model
    sizes = (
        Size(name="small", model=replace(trunk, width=256, depth=3), whole=True),
        Size(name="middle", model=replace(trunk, width=200, depth=4)),
        Size(name="published", model=published, terminates=True, horizon=10),
        Size(name="demo", model=demo, whole=True),
    )
    return {size.name: size for size in sizes}


SIZES = _sizes()


def write(size: Size, task: TaskSpec, path: Path) -> None:
    """Writes a model's directory with random weights: speed does not depend on what they are."""
    used = size.model.elites
    ensemble = Ensemble(task, size.model, members=used, terminates=size.terminates)
    if size.terminates:
        # Of either kind of network the last layer's last output is the termination's logit.
        last = [layer for layer in ensemble.modules() if isinstance(layer, StackedLinear)][-1]
        last.bias.data[..., -1] = _NEVER
    card = ModelCard(
        task=task,
        members=size.model.members,
        elites=tuple(range(used)),
        disagreement_quantiles=dict.fromkeys(QUANTILES, 0.0),
        measured={},
        terminates=size.terminates,
        digest="",
    )
    edge = torch.full((task.state_width + 1,), _BOX)
    files.write(card, ensemble, torch.stack([-edge, edge]), {}, path)
