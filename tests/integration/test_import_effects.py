"""Importing a module of ours changes nothing outside of it: entry points prepare a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

from tests.integration.source_rules import sources

LIMIT_S = 120.0
PACKAGES = ("moma", "moma_core", "model_server", "rollout_workers", "learner")
PREPARED = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""What the process of the tests has set for its own."""
EFFECTS = {
    "import os; os.environ['GOMP_SPINCOUNT'] = '3000'": "environment",
    "import torch; torch.backends.mkldnn.matmul.fp32_precision = 'bf16'": "torch's precision",
    "import torch; torch.set_num_threads(3)": "torch's threads",
    "import torch; torch.set_default_dtype(torch.float64)": "torch's defaults",
    "import torch; torch.manual_seed(1)": "random numbers",
    "import numpy; numpy.random.seed(1)": "random numbers",
    "import sys; sys.path.insert(0, 'somewhere')": "sys.path",
    "import sys; sys.excepthook = print": "hooks",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)": "signal handlers",
    "import warnings; warnings.simplefilter('ignore')": "warnings' filters",
    "import logging; logging.basicConfig()": "logging",
    "import logging; logging.getLogger('x').addHandler(logging.NullHandler())": "logging",
    "import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()": (
        "threads"
    ),
}


def ours(root):
    """The names of all our modules."""
    paths = [name.removesuffix(".py").split("/") for name, _ in sources(root)]
    generated = ("moma_core.pb.dynamics_pb2_grpc", "moma_core.pb.learner_pb2_grpc")
    found = [".".join(path).removesuffix(".__init__") for path in paths if path[0] in PACKAGES]
    here = find_spec("ray") is not None  # an extra, which not everybody installs
    found = [name for name in found if here or not name.startswith("moma.engines.ray")]
    return [*found, *generated]


def effects(modules, others, root, path=""):
    """What a fresh process says after it has imported them."""
    variables = {k: v for k, v in os.environ.items() if k not in PREPARED}
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.import_effects", others, *modules],
        env=variables | {"PYTHONPATH": f"{path}{os.pathsep}{root}"},
        cwd=root, capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_all_of_it_changes_nothing(root, tmp_path):
    modules = ours(root)
    assert len(modules) > 120
    assert {f"{package}.__main__" for package in PACKAGES[:1] + PACKAGES[2:]} <= set(modules)
    others = tmp_path / "others"
    others.write_text("")
    foreign = effects(modules, others, root)["foreign"]
    assert {"torch", "grpc", "mujoco", "h5py"} <= set(foreign)
    others.write_text("\n".join(foreign))
    assert effects(modules, others, root)["changed"] == {}


def test_what_an_import_changes_is_seen(root, tmp_path):
    planted = {f"planted_{index}": what for index, what in enumerate(EFFECTS.values())}
    for name, program in zip(planted, EFFECTS, strict=True):
        (tmp_path / f"{name}.py").write_text(f"{program}\n")
    (tmp_path / "others").write_text("")
    views = "import torch; torch.frombuffer(bytes(1), dtype=torch.uint8)\n"
    (tmp_path / "views.py").write_text(views)
    seen = effects([*planted, "views"], tmp_path / "others", root, tmp_path)["changed"]
    assert seen.pop("one of them") == ["what torch has warned of"]
    assert seen == {name: [what] for name, what in planted.items()}
