"""Rules over our sources that no linter has: each is a function from a file to its breaches."""

from __future__ import annotations

import ast

PACKAGES = ("moma", "model_server", "rollout_workers", "learner", "moma_core", "benchmarks")
MAX_FILE, MAX_FUNCTION = 300, 60
THE_SERVER = "moma_core/rpc/server.py"
THE_PICKLE_READER = "moma/log_tools/importing/moma_ppo_pickle.py"
"""The one file that reads a pickle: one that can build arrays of numbers and nothing else."""
UNSAFE_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "shelve",
    "marshal",
}
FORKING = {"multiprocessing", "torch.multiprocessing"}


def sources(root):
    """Path from the root and text of every source file that people write."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if not name.startswith("moma_core/pb/"):
                yield name, path.read_text(encoding="utf-8")


def imported(node):
    """Names of the modules that a node imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        return [module, *(f"{module}.{alias.name}" for alias in node.names)]
    if isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
        return [
            a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)
        ]
    return []


def called(node):
    """The last name of what is called: `c` for `a.b.c(...)`."""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def keyword(node, name):
    """The constant given for a keyword; None where there is none."""
    for given in node.keywords:
        if given.arg == name:
            return given.value.value if isinstance(given.value, ast.Constant) else "computed"
    return None


def no_pickle(name, tree):
    """Neither the modules, nor numpy's and torch's doors to them."""
    unsafe = UNSAFE_MODULES - ({"pickle"} if name == THE_PICKLE_READER else set())
    for node in ast.walk(tree):
        for module in {module.split(".")[0] for module in imported(node)} & unsafe:
            yield f"line {node.lineno}: imports {module}"
        if not isinstance(node, ast.Call):
            continue
        if keyword(node, "allow_pickle") not in (None, False):
            yield f"line {node.lineno}: allow_pickle"
        if ast.unparse(node.func) == "torch.load" and keyword(node, "weights_only") is not True:
            yield f"line {node.lineno}: torch.load without weights_only=True"
        if ast.unparse(node.func) == "torch.save":
            yield f"line {node.lineno}: torch.save writes pickle"


def one_door(name, tree):
    """Ports are opened in one file, which checks where."""
    for node in ast.walk(tree):
        word = getattr(node, "attr", getattr(node, "value", None))
        if (
            word in ("add_insecure_port", "add_secure_port", "insecure_server")
            and name != THE_SERVER
        ):
            yield f"line {node.lineno}: {word} outside of {THE_SERVER}"


def no_fork(_, tree):
    """A fork copies gRPC's and OpenMP's locks, but not the threads that hold them."""
    for node in ast.walk(tree):
        if {module.partition(" ")[0] for module in imported(node)} & FORKING:
            yield f"line {node.lineno}: imports multiprocessing"
        if isinstance(node, ast.Attribute) and node.attr in ("fork", "forkpty"):
            yield f"line {node.lineno}: {ast.unparse(node)}"
        if "os.fork" in imported(node) or "os.forkpty" in imported(node):
            yield f"line {node.lineno}: imports fork"


def short(_, tree):
    """A function can be seen at once."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION:
                yield f"line {node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION}"


def no_execution(_, tree):
    """Text is data."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
            yield f"line {node.lineno}: {node.func.id}"
        if keyword(node, "shell") not in (None, False):
            yield f"line {node.lineno}: shell=True"


COMPOSITION_ROOTS = (
    "moma/cli/evaluate.py",
    "moma/export/folder.py",
    "moma/engines/launch.py",
    "moma/engines/roles.py",
    "moma/engines/training.py",
    "moma/evaluation/estimates.py",
    "moma/evaluation/evaluate.py",
    "moma/evaluation/film.py",
    "moma/fitting.py",
    "moma/local.py",
    "moma/phases.py",
    "moma/reports/result.py",
    "learner/build.py",
    "learner/clones.py",
    "moma_core/config/",
    "moma_core/recipes/",
    "moma_core/runtime/",
    "benchmarks/",
)
"""Where the whole config is read, taken apart and handed on in sections."""


def own_section(name, tree):
    """Functions get their own section of the config; the whole tree is the composition roots'."""
    if name.startswith(COMPOSITION_ROOTS):
        return
    for node in ast.walk(tree):
        kinds = ast.unparse(node.annotation) if getattr(node, "annotation", None) else ""
        if isinstance(node, ast.arg) and "Config" in kinds.split(" | "):
            yield f"line {node.lineno}: {node.arg} is the whole Config"


RULES = (no_pickle, one_door, no_fork, short, no_execution, own_section)


def breaches(name, text):
    """Every breach of a rule in one file, the file's own length included."""
    found = [f"{name} {what}" for rule in RULES for what in rule(name, ast.parse(text))]
    lines = len(text.splitlines())
    return found + ([f"{name} has {lines} lines, at most {MAX_FILE}"] if lines > MAX_FILE else [])
