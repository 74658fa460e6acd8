"""A kill of a test is a SIGKILL from outside: nobody says goodbye, and the product helps nobody."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("learner", "model_server", "moma", "moma_core", "rollout_workers")
GENTLE = {"terminate", "send_signal", "interrupt_main", "raise_signal"}
"""Calls by which a process would be asked, or would ask itself."""
READ = {
    "GOMP_SPINCOUNT", "LIFELINE", "BACKEND", "PROXY", "SLURMD_NODENAME", "SLURM_JOB_ID",
    "SLURM_JOB_NODELIST", "SLURM_STEP_ID", "TORCH_CPP_LOG_LEVEL", "OMP_WAIT_POLICY", "name",
}  # fmt: skip
"""Variables of the environment that the product knows; none makes a process fail."""
kept = pytest.mark.reliability(30, "kill_fidelity")


def trees(*folders):
    """Yields every file and what it says."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def sent(tree):
    """Returns, function by function whose name speaks of a kill, what is sent and by what call."""
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or "kill" not in function.name:
            continue
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                name, given = call.func.attr, [ast.unparse(one) for one in call.args]
                if name in GENTLE:
                    found.append((function.name, name))
                elif name in ("kill", "killpg") and ast.unparse(call.func.value) == "os":
                    found.append((function.name, given[1]))
                elif name == "kill":
                    found.append((function.name, "signal.SIGKILL"))  # what Popen.kill sends
    return found


def hooks(tree):
    """Returns what a product would fail by on purpose: variables and modules of tests."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            found.append(node.slice)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "os.getenv", "os.environ.get", "os.environ.setdefault", "os.environ.pop",
        ):  # fmt: skip
            found.append(node.args[0])
        elif (
            isinstance(node, ast.Compare)
            and isinstance(node.ops[0], ast.In | ast.NotIn)
            and "os.environ" in ast.unparse(node.comparators[0])
        ):
            found.append(node.left)
        elif isinstance(node, ast.Import | ast.ImportFrom) and "pytest" in ast.unparse(node):
            found.append(ast.Constant("pytest"))
    names = set()
    for node in found:
        parts = node.elts if isinstance(node, ast.Set) else [node]
        names |= {p.value if isinstance(p, ast.Constant) else ast.unparse(p) for p in parts}
    return {name.rpartition(".")[2] for name in names} - READ


@kept
def test_every_kill_of_a_test_is_a_sigkill_from_outside(record_property):
    kills = [
        (path.name, *one)
        for path, tree in trees("tests/e2e", "tests/long", "tests/integration")
        for one in sent(tree)
        if path != Path(__file__)
    ]
    kills += [
        ("storms.py", *one) for one in sent(ast.parse((ROOT / "tests/storms.py").read_text()))
    ]
    assert [one for one in kills if one[2] != "signal.SIGKILL"] == []
    assert len(kills) >= 5
    record_property("tried", len(kills))


@kept
def test_no_variable_and_no_test_makes_the_product_fail_on_purpose():
    assert {path.name: hooks(tree) for path, tree in trees(*PRODUCT) if hooks(tree)} == {}


@pytest.mark.parametrize(
    "source",
    [
        "def test_killed(): os.kill(pid, signal.SIGTERM)",
        "def test_killed(): process.terminate()",
        "def kill_it(): process.send_signal(2)",
    ],
)
def test_a_kill_that_asks_would_be_seen(source):
    assert [how for _, how in sent(ast.parse(source)) if how != "signal.SIGKILL"]


@pytest.mark.parametrize(
    "source",
    [
        "if os.environ.get('MOMA_CRASH_BEFORE_SAVE'): raise SystemExit",
        "os.environ['MOMA_FAIL']",
        "os.getenv('MOMA_FAIL')",
        "'MOMA_FAIL' in os.environ",
        "import pytest",
    ],
)
def test_a_hook_would_be_seen(source):
    assert hooks(ast.parse(source))
