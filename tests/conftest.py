"""Fixtures that several tests share. Shapes in signatures are enforced while tests run."""

from __future__ import annotations

from jaxtyping import install_import_hook

PACKAGES = ("moma", "model_server", "rollout_workers", "learner", "moma_core")
install_import_hook(PACKAGES, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")
