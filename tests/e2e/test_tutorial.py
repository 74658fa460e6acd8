"""The tutorial, followed word for word: every block of the page, in an empty directory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 580


@pytest.mark.timeout(600)
def test_the_tutorial_leads_from_csv_to_a_policy_that_drives(tmp_path):
    page = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == page.count("```") // 2, "a block that is not run"
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = ""
    for block in blocks:
        done = subprocess.run(
            ["bash", "-euc", block],
            cwd=tmp_path,
            env=os.environ | {"PATH": here, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"{block}{done.stdout}{done.stderr}"
        said += done.stdout
    assert "240: 6 terminated, 234 truncated" in said
    assert "0 errors, 0 warnings" in said
    assert (tmp_path / "carts/card.html").is_file()
    assert "the team is supported; take policy team" in said
    contract = json.loads((tmp_path / "policy/front/policy_contract.json").read_text())
    assert contract["rate"]["seconds_per_step"] == 0.1  # by the log's time stamps
    earned = float(re.search(r"mean return of 20 episodes: (\S+), without torch", said)[1])
    logged = float(re.search(r"the log's mean is ([\d.]+),", said)[1])
    assert earned > logged + 1
