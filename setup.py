"""What pyproject.toml cannot say of the build: it notes the commit, in the build alone.

The code that runs reads it by `moma_core/runtime/version.py`; a checkout has no such file.
"""

import importlib.util
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

_PACKAGE = Path("moma_core/runtime")
_HERE = Path(__file__).resolve().parent
_SPEC = importlib.util.spec_from_file_location("version", _HERE / _PACKAGE / "version.py")
version = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(version)


def note(root: Path) -> None:
    """Writes the commit of this code below `root`."""
    (root / _PACKAGE / version.BUILT).write_text(f"{version.commit()}\n", encoding="ascii")


class BuildPy(build_py):
    """Copies the packages of now, without what an earlier build left, and notes the commit."""

    def run(self) -> None:
        """Builds; an editable install stays the checkout that it is."""
        if self.editable_mode:
            super().run()
            return
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        note(Path(self.build_lib))


class Sdist(sdist):
    """Notes the commit, which whoever unpacks it cannot ask git for."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Fills the directory that is packed."""
        super().make_release_tree(base_dir, files)
        note(Path(base_dir))


setup(cmdclass={"build_py": BuildPy, "sdist": Sdist})
