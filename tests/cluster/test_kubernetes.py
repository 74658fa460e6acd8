"""The manifest's containers, each on a machine of its own, by the command lines that it has."""

from __future__ import annotations

import base64
import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import MOMA, START_S, Run

pytestmark = pytest.mark.timeout(1800)
RUN = "team-1"
ROUNDS = 30
WORDS = (
    "reacher-tiny", "--engine", "kubernetes", "--nodes", "2", "--workers", "2",
    "--node-cores", "1", "--kubernetes.image", "moma:1", "--dry-run", "--run-dir", RUN,
    "--ppo.rounds", ROUNDS, "--eval.every", "0",
)  # fmt: skip


class Pod:
    """A machine that has what a container's volumes have, and nothing else of the run."""

    def __init__(self, machine, template, objects, tmp_path, runs) -> None:
        (container,) = template["spec"]["containers"]
        self.machine, self.command = machine, container["command"]
        sources = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        for mount in container["volumeMounts"]:
            self._mount(sources[mount["name"]], mount["mountPath"], objects, tmp_path, runs)

    def _mount(self, volume, path, objects, tmp_path, runs) -> None:
        place = tmp_path / self.machine.name / volume["name"]
        if "emptyDir" in volume:
            place = runs
        elif "secret" in volume:
            place.mkdir(parents=True)
            data = objects["Secret"]["data"]
            names = [item["key"] for item in volume["secret"].get("items", [])] or data
            for name in names:
                (place / name).write_bytes(base64.b64decode(data[name]))
                (place / name).chmod(volume["secret"]["defaultMode"])
        else:
            place.mkdir(parents=True)
            for name, text in objects["ConfigMap"]["data"].items():
                (place / name).write_text(text)
        self.machine.call("mkdir", "-p", path)
        self.machine.call("mount", "--bind", place, path)

    def start(self, log: Path, path: Path):
        """Runs the container's command as it stands; `moma` is the only one that is looked up."""
        env = os.environ | {"PATH": f"{path}:{os.environ['PATH']}"}
        return self.machine.start(*self.command, log=log, env=env)


@pytest.fixture
def objects(made, tmp_path, monkeypatch):
    """The manifest's objects; the learner's machine has the name that JobSet gives its pod."""
    machines = made(f"{RUN}-learner-0-0.{RUN}", "pod-1")
    monkeypatch.chdir(tmp_path)
    machines["pod-1"].call(*MOMA, "train", *WORDS, cwd=tmp_path)
    found = json.loads((tmp_path / RUN / "manifest.json").read_text())["items"]
    return machines, {item["kind"]: item for item in found}


def test_every_containers_command_runs_as_it_stands(objects, tmp_path):
    machines, kinds = objects
    path = tmp_path / "bin"
    path.mkdir()
    (path / "moma").write_text(f'#!/bin/sh\nexec {shlex.join(MOMA)} "$@"\n')
    (path / "moma").chmod(0o755)
    runs = tmp_path / "runs"
    runs.mkdir()
    jobs = {job["name"]: job for job in kinds["JobSet"]["spec"]["replicatedJobs"]}
    pods = [
        Pod(machine, jobs[name]["template"]["spec"]["template"], kinds, tmp_path, runs)
        for machine, name in zip(machines.values(), ("learner", "worker"), strict=True)
    ]
    processes = [pod.start(tmp_path / f"{i}.out", path) for i, pod in enumerate(pods)]
    run = Run(runs / RUN)
    run.until(lambda: run.workers == 2, START_S, "worker in each pod")
    run.until(lambda: processes[0].poll() is not None, START_S, "end of the learner's pod")
    said = (tmp_path / "0.out").read_text()
    assert processes[0].returncode in (0, 4), said
    assert run.round == ROUNDS
    assert run.read("result.json")["updates"] == ROUNDS
    assert (
        "worker of this machine" in (tmp_path / "1.out").read_text()
        or "workers of this" in (tmp_path / "1.out").read_text()
    )
    assert sys.executable in (path / "moma").read_text()
