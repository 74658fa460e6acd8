"""Three gigabytes of log in less than one of memory, and not all day."""

from __future__ import annotations

import json
import sys

from tests.builders import sparse_dataset
from tests.integration import used

GIGABYTES = 3.0
MAX_RSS, MAX_CPU_S = 1e9, 60.0


def test_a_log_larger_than_memory_is_fitted_and_sampled_in_less(tmp_path, root):
    log = sparse_dataset(tmp_path / "log", GIGABYTES)
    size = sum(path.stat().st_size for path in log.iterdir())
    assert size > 0.99 * GIGABYTES * 1e9
    command = [sys.executable, "-m", "tests.integration.fit_and_draw", log, tmp_path / "run"]
    status, said, peak, seconds = used.run(command, root, tmp_path)
    assert status == 0, said
    assert peak < MAX_RSS
    # Not by the clock, which depends on who else is at work; nor the kernel's, which fills holes.
    assert seconds < MAX_CPU_S
    report = json.loads((tmp_path / "run" / "model" / "report.json").read_text())
    assert report["held_out"]["rows"] == 8192
