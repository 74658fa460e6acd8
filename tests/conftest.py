"""Shapes in signatures are enforced while tests run; torch computes as in all our processes."""

from __future__ import annotations

from jaxtyping import install_import_hook

PACKAGES = ("moma", "model_server", "rollout_workers", "learner", "moma_core")
install_import_hook(PACKAGES, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

from moma_core.runtime import process  # noqa: E402 - its signatures are enforced, too

process.spin_briefly()
process.compute_on(0)
