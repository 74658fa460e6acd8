"""A run's directory: where each thing lies. It knows no role."""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from moma_core import documents
from moma_core.config import Config
from moma_core.storage import write_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class RunDirectory:
    """Paths within one run."""

    path: Path

    @classmethod
    def create(cls, path: Path, config: Config) -> RunDirectory:
        """Makes the directory and writes the config.

        Raises:
            ValueError: the name is not plain, or another run lies there.
        """
        run = cls(path)
        run._check_free()
        for directory in (path, run.checkpoints, run.events, run.logs):
            directory.mkdir(parents=True, exist_ok=True)
        run.write_config(config)
        return run

    @classmethod
    @contextmanager
    def begun(cls, path: Path, config: Config) -> Iterator[RunDirectory]:
        """Makes a run for work that may be refused still: then it takes back what it made.

        Once a model or a checkpoint is there, the run stays.

        Raises:
            ValueError: as `create`.
        """
        run, there = cls(path), path.exists()
        run._check_free()
        try:
            yield cls.create(path, config)
        except (ValueError, OSError):
            if not (run.model.exists() or run.clones.exists() or any(run.checkpoints.glob("*"))):
                run._take_back(whole=not there)
            raise

    def _check_free(self) -> None:
        """Refuses a name that is not plain, and a directory in which another run lies."""
        if not _NAME.fullmatch(self.path.name):
            raise ValueError(
                f"run name {self.path.name!r} must be letters, digits, '.', '_' and '-', "
                "begin with a letter or digit and have 100 characters at most"
            )
        if self.config_path.exists():
            raise ValueError(
                f"{self.path} holds a run already; go on with it by --resume {self.path}"
            )

    def _take_back(self, *, whole: bool) -> None:
        """Removes the run: its directory, or of a directory that was there before what it added."""
        if whole:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        for file in (self.settings, self.status, self.config_path):
            file.unlink(missing_ok=True)
        for directory in (self.checkpoints, self.events, self.logs):
            with suppress(OSError):  # it holds what is not ours
                directory.rmdir()

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Opens a run that exists.

        Raises:
            ValueError: there is none.
        """
        run = cls(path)
        if not run.config_path.is_file():
            raise ValueError(f"{path} holds no run: {run.config_path} is missing")
        return run

    @contextmanager
    def hold(self, role: str) -> Iterator[None]:
        """Holds a role of the run, which one process at a time may play.

        Raises:
            ValueError: somebody does already.
        """
        with (self.path / f".{role}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ValueError(
                    f"another process is at work in {self.path} ({role}); "
                    f"see: moma status {self.path}"
                ) from error
            yield

    def config(self) -> Config:
        """Reads the run's config, strictly, but for the environment that it names.

        That is code, and no document names code: only the command line of a call does (`--env`).
        """
        config = documents.load(Config, self.config_path)
        return replace(config, eval=replace(config.eval, env=""))

    def write_config(self, config: Config) -> None:
        """Replaces the run's config."""
        write_text(self.config_path, documents.dump(config))

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def config_path(self) -> Path:
        """The resolved config."""
        return self.path / "config.json"

    @property
    def subject(self) -> Path:
        """What the run is about, for when its log has moved."""
        return self.path / "subject.json"

    @property
    def settings(self) -> Path:
        """The settings that the log asked for, with their reasons."""
        return self.path / "settings.json"

    @property
    def data(self) -> Path:
        """The dataset, where the run made its own."""
        return self.path / "data"

    @property
    def model(self) -> Path:
        """The fitted world model."""
        return self.path / "model"

    @property
    def checkpoints(self) -> Path:
        """The learner's checkpoints."""
        return self.path / "checkpoints"

    @property
    def policies(self) -> Path:
        """Policies that were kept for good."""
        return self.path / "policies"

    @property
    def clones(self) -> Path:
        """Policies that imitate the log, by what of it they imitate."""
        return self.path / "clones"

    @property
    def events(self) -> Path:
        """TensorBoard's directory."""
        return self.path / "events"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.path / "logs"

    @property
    def addresses(self) -> Path:
        """Where each process that is called says its address."""
        return self.path / "addresses"

    @property
    def learner(self) -> Path:
        """Where its learner can be called, and where its keys lie."""
        return self.addresses / "learner.json"

    @property
    def learners(self) -> Path:
        """Where the other learners find the first one, while there is one."""
        return self.addresses / "learners.json"

    @property
    def progress(self) -> Path:
        """What the learner says of itself."""
        return self.path / "learner.json"

    @property
    def film(self) -> Path:
        """The team on film."""
        return self.path / "team.gif"

    @property
    def status(self) -> Path:
        """What `moma train` says of the whole run."""
        return self.path / "status.json"

    @property
    def result(self) -> Path:
        """What came out."""
        return self.path / "result.json"
