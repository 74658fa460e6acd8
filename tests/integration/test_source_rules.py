"""Our own rules hold in every source file, and each would notice a breach."""

from __future__ import annotations

import pytest

from tests.integration.source_rules import (
    MAX_FILE,
    MAX_FUNCTION,
    THE_PICKLE_READER,
    THE_SERVER,
    breaches,
    sources,
)

LONG_FUNCTION = "def f():\n" + "    x = 1\n" * MAX_FUNCTION
CANARIES = {
    "import pickle": "imports pickle",
    "from pickle import loads": "imports pickle",
    "import cloudpickle as c": "imports cloudpickle",
    "def f():\n    import dill": "imports dill",
    "from joblib import load": "imports joblib",
    "import_module('pickle')": "imports pickle",
    "np.load(path, allow_pickle=True)": "allow_pickle",
    "np.load(path, allow_pickle=trust)": "allow_pickle",
    "torch.load(path)": "torch.load",
    "torch.load(path, weights_only=False)": "torch.load",
    "torch.save(x, path)": "torch.save",
    "server.add_insecure_port('0.0.0.0:80')": "add_insecure_port",
    "getattr(server, 'add_insecure_port')('0.0.0.0:80')": "add_insecure_port",
    "import os\nos.fork()": "fork",
    "from os import fork": "fork",
    "from multiprocessing import Process": "multiprocessing",
    "import torch.multiprocessing as mp": "multiprocessing",
    "from torch import multiprocessing": "multiprocessing",
    "eval(text)": "eval",
    "subprocess.run(text, shell=True)": "shell",
    "def f(config: Config): ...": "whole Config",
    "def f(*, config: Config | None = None): ...": "whole Config",
    LONG_FUNCTION: f"has {MAX_FUNCTION + 1} lines",
    "x = 1\n" * (MAX_FILE + 1): f"has {MAX_FILE + 1} lines",
}


def test_no_source_file_breaks_a_rule(root):
    files = dict(sources(root))
    assert len(files) > 50
    assert {THE_SERVER, THE_PICKLE_READER} <= set(files)
    assert [what for name, text in files.items() for what in breaches(name, text)] == []


@pytest.mark.parametrize("canary", CANARIES, ids=lambda text: text.partition("\n")[0][:40])
def test_a_planted_breach_is_seen(canary):
    (what,) = breaches("moma/planted.py", canary)
    assert CANARIES[canary] in what


@pytest.mark.parametrize(
    "innocent",
    [
        "np.load(path, allow_pickle=False)",
        "torch.load(path, weights_only=True)",
        "model.eval()",
        "subprocess.run([sys.executable])",
        "def f():\n" + "    x = 1\n" * (MAX_FUNCTION - 1),
        "x = 1\n" * MAX_FILE,
    ],
)
def test_what_keeps_the_rules_is_not_blamed(innocent):
    assert breaches("moma/planted.py", innocent) == []


def test_the_one_door_may_open_ports():
    assert breaches(THE_SERVER, "server.add_insecure_port('127.0.0.1:0')") == []


def test_the_one_reader_may_import_pickle_and_nothing_else_of_its_kind():
    assert breaches(THE_PICKLE_READER, "import pickle") == []
    assert breaches(THE_PICKLE_READER, "import dill") != []
    assert breaches(THE_PICKLE_READER, "np.load(path, allow_pickle=True)") != []
