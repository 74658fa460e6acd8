"""Shapes in signatures are enforced while tests run; torch computes as in all our processes."""

from __future__ import annotations

from jaxtyping import install_import_hook

PACKAGES = ("moma", "model_server", "rollout_workers", "learner", "moma_core")
install_import_hook(PACKAGES, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

from moma_core.runtime import process  # noqa: E402 - its signatures are enforced, too

process.spin_briefly()
process.compute_on(0)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="runs tests/long as well: hours")


def pytest_ignore_collect(collection_path, config):
    if "long" in collection_path.parts and not config.getoption("--long"):
        return True
    return None


def pytest_collection_modifyitems(items):
    """Tells the scorecard which of the reliability tests an item is."""
    for item in items:
        for mark in item.iter_markers("reliability"):
            item.user_properties.append(("reliability", f"{mark.args[0]} {mark.args[1]}"))
