"""A user's way: build a wheel, install it elsewhere, start what it installs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"moma", "moma_core", "model_server", "rollout_workers", "learner"}
BUILD_S, INSTALL_S, COMMAND_S = 120.0, 900.0, 240.0
SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"


def done(command, within_s, **how):
    """What a command writes; it has to end well."""
    outcome = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
        **how,
    )
    assert outcome.returncode == 0, f"{command}: {outcome.stdout}{outcome.stderr}"
    return outcome.stdout


def git(directory, *words):
    identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    return done(["git", "-C", directory, *identity, *words], BUILD_S)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A checkout of its own with the files as they are now, and what an older build left there."""
    made = tmp_path_factory.mktemp("source") / "moma"
    done(["git", "clone", "--quiet", ROOT, made], BUILD_S)
    for name in git(ROOT, "ls-files", "--deleted", "-z").split("\0")[:-1]:
        (made / name).unlink()
    listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in listed.split("\0")[:-1]:
        if (ROOT / name).is_file():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, made / name)
    (made / "build/lib/launch").mkdir(parents=True)
    (made / "build/lib/launch/__init__.py").touch()
    return made


@pytest.fixture(scope="module")
def commit(source):
    """The commit of that checkout, marked where it has uncommitted changes."""
    return git(source, "describe", "--always", "--dirty", "--abbrev=12").strip()


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    """Wheel and sdist of the checkout, which has no file more or less for it."""
    out, before = tmp_path_factory.mktemp("built"), git(source, "status", "--porcelain")
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done([*wheel, "--wheel-dir", out, "."], BUILD_S, cwd=source)
    done([sys.executable, "-c", SDIST, out], BUILD_S, cwd=source)
    assert git(source, "status", "--porcelain") == before
    ((wheel,), (sdist,)) = (sorted(out.glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))
    return wheel, sdist


def files(archive):
    """The paths in a wheel or, below its one directory, in an sdist."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return set(wheel.namelist())
    with tarfile.open(archive) as sdist:
        return {name.partition("/")[2] for name in sdist.getnames()}


def import_names(archive):
    """What could be imported of it: top modules and packages."""
    paths = [PurePosixPath(name) for name in files(archive)]
    own = [path for path in paths if path.suffix == ".py" and str(path) != "setup.py"]
    return {path.parts[0].removesuffix(".py") for path in own}


def missing(archive, source):
    """Our modules that an archive lacks."""
    paths = (
        path.relative_to(source) for name in PACKAGES for path in source.glob(f"{name}/**/*.py")
    )
    return sorted({path.as_posix() for path in paths} - files(archive))


@pytest.mark.parametrize("which", [0, 1], ids=["wheel", "sdist"])
def test_what_is_built_holds_our_packages_whole_and_nothing_else(built, source, which):
    assert import_names(built[which]) == PACKAGES
    assert missing(built[which], source) == []
    assert {f"{name}/py.typed" for name in PACKAGES} <= files(built[which])


def test_a_package_too_many_or_a_module_too_few_is_seen(built, source, tmp_path):
    planted = tmp_path / built[0].name
    with zipfile.ZipFile(built[0]) as whole, zipfile.ZipFile(planted, "w") as other:
        for name in whole.namelist():
            if name != "moma_core/config/model.py":
                other.writestr(name, whole.read(name))
        other.writestr("launch/__init__.py", "")
    assert import_names(planted) == PACKAGES | {"launch"}
    assert missing(planted, source) == ["moma_core/config/model.py"]


def test_a_wheel_of_the_unpacked_sdist_is_the_wheel_of_the_checkout(built, commit, tmp_path):
    with tarfile.open(built[1]) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done([*wheel, "--wheel-dir", tmp_path / "out", "."], BUILD_S, cwd=unpacked)
    (made,) = (tmp_path / "out").glob("*.whl")
    assert files(made) == files(built[0])
    with zipfile.ZipFile(made) as whole:
        assert whole.read("moma_core/runtime/commit.txt").decode().strip() == commit


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A directory with a fresh environment that has the wheel, within somebody's own checkout."""
    place = tmp_path_factory.mktemp("elsewhere")
    git(place, "init", "--quiet")
    git(place, "commit", "--quiet", "--allow-empty", "--message", "theirs")
    done([sys.executable, "-m", "venv", place / "venv"], BUILD_S)
    pip = [place / "venv/bin/python", "-m", "pip", "install", "--quiet"]
    pip += ["--disable-pip-version-check", "-c", ROOT / "constraints.txt"]
    done([*pip, built[0]], INSTALL_S, cwd=place, env=outside())
    yield place
    shutil.rmtree(place)  # more than a gigabyte


def outside(*paths):
    """The variables of a process that knows nothing of our checkout, with these on its path."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return own | ({"PYTHONPATH": os.pathsep.join(map(str, paths))} if paths else {})


@pytest.mark.timeout(INSTALL_S + 2 * COMMAND_S)
def test_an_installed_moma_starts_and_trains_where_ros_is_first_on_the_path(
    installed, commit, tmp_path
):
    ros = tmp_path / "ros" / "launch"
    ros.mkdir(parents=True)
    (ros / "__init__.py").write_text("raise ImportError('this is the launch package of ROS 2')\n")

    def moma(*words):
        program = installed / "venv/bin/moma"
        return done([program, *words], COMMAND_S, cwd=installed, env=outside(ros.parent))

    assert re.fullmatch(rf"moma \d+\.\d+\.\d+ {re.escape(commit)}\n", moma("--version"))
    assert "reacher-leader" in moma("--help")
    assert "reacher-leader" in moma("tasks")
    line = moma("train", "reacher-tiny", "--run-dir", "run").splitlines()[-1]
    assert line.startswith("reacher-leader seed 0: score ")
    result = json.loads((installed / "run/result.json").read_text())
    assert result["mode"] == "distributed"
    assert result["versions"]["code"].endswith(f" {commit}")
    where = "import moma, sys; sys.stdout.write(moma.__file__)"
    python = installed / "venv/bin/python"
    assert str(installed) in done([python, "-c", where], COMMAND_S, cwd=installed, env=outside())
