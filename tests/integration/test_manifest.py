"""Kubernetes' manifest, against models that are generated from the published schemas."""

from __future__ import annotations

import base64
import copy
import json

import pytest
from kubeflow_trainer_api import models
from pydantic import ValidationError

from moma.cli.main import main
from moma_core import documents
from moma_core.config import Config

KINDS = {
    "Secret": models.IoK8sApiCoreV1Secret,
    "ConfigMap": models.IoK8sApiCoreV1ConfigMap,
    "Service": models.IoK8sApiCoreV1Service,
    "JobSet": models.JobsetV1alpha2JobSet,
}
WORDS = ("--engine", "kubernetes", "--nodes", "3", "--workers", "7", "--node-cores", "4")


def written(tmp_path, monkeypatch, *words):
    monkeypatch.chdir(tmp_path)
    command = ["train", "reacher-tiny", *WORDS, "--dry-run", "--run-dir", "runs/team-1"]
    assert main([*command, "--kubernetes.image", "registry/moma:1", *words]) == 0
    return tmp_path / "runs" / "team-1"


@pytest.fixture
def items(tmp_path, monkeypatch):
    run = written(tmp_path, monkeypatch)
    found = json.loads((run / "manifest.json").read_text())
    assert (found["kind"], found["apiVersion"]) == ("List", "v1")
    return {item["kind"]: item for item in found["items"]}


def faults(item):
    """What the schema has against an object: what it refuses, and what it does not know."""
    kind = KINDS[item["kind"]]
    try:
        return [] if kind.from_dict(item).to_dict() == item else ["unknown fields"]
    except ValidationError as error:
        return [str(error)]


def test_every_object_is_one_of_its_published_schema(items):
    assert items.keys() == KINDS.keys()
    assert {kind: faults(item) for kind, item in items.items()} == {kind: [] for kind in KINDS}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec["replicatedJobs"][0].update(replica=1),
        lambda spec: spec["replicatedJobs"][0].pop("template"),
        lambda spec: spec["successPolicy"].pop("operator"),
        lambda spec: spec["network"].update(subdomain=3),
        lambda spec: spec["replicatedJobs"][1]["template"]["spec"].update(paralelism=2),
        lambda spec: spec["replicatedJobs"][0]["template"]["spec"]["template"]["spec"][
            "containers"
        ][0].pop("name"),
    ],
)
def test_a_spoilt_object_is_seen(items, spoil):
    spoilt = copy.deepcopy(items["JobSet"])
    spoil(spoilt["spec"])
    assert faults(spoilt)


def test_every_pod_is_a_node_of_the_plan(items):
    learner, worker = items["JobSet"]["spec"]["replicatedJobs"]
    assert worker["template"]["spec"]["parallelism"] == 2
    command = learner["template"]["spec"]["template"]["spec"]["containers"][0]["command"]
    joins = worker["template"]["spec"]["template"]["spec"]["containers"][0]["command"]
    own = int(command[command.index("--workers") + 1])
    each = int(joins[joins.index("--workers") + 1])
    assert own + 2 * each == 7
    assert command[command.index("--advertise") + 1] == joins[joins.index("--join") + 1]


def test_the_config_is_the_runs_and_a_worker_sees_no_more_keys_than_it_needs(items):
    text = items["ConfigMap"]["data"]["config.json"]
    assert documents.parse(Config, text, "config.json").workers == 7
    keys = {"ca.pem", "operator.token", "server.pem", "worker.token"}
    assert items["Secret"]["data"].keys() == keys
    worker = items["JobSet"]["spec"]["replicatedJobs"][1]["template"]["spec"]["template"]["spec"]
    (volume,) = worker["volumes"]
    assert {one["key"] for one in volume["secret"]["items"]} == {"ca.pem", "worker.token"}
    token = base64.b64decode(items["Secret"]["data"]["worker.token"]).decode().strip()
    assert token not in json.dumps([items["JobSet"], items["ConfigMap"]])


def test_the_file_with_the_keys_is_for_its_owner(tmp_path, monkeypatch):
    run = written(tmp_path, monkeypatch)
    assert (run / "manifest.json").stat().st_mode & 0o777 == 0o600


def test_a_claim_is_the_learners_disk(tmp_path, monkeypatch):
    run = written(tmp_path, monkeypatch, "--kubernetes.claim", "disk")
    (job_set,) = [
        item
        for item in json.loads((run / "manifest.json").read_text())["items"]
        if item["kind"] == "JobSet"
    ]
    assert faults(job_set) == []
    pod = job_set["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    (runs,) = [volume for volume in pod["volumes"] if volume["name"] == "runs"]
    assert runs == {"name": "runs", "persistentVolumeClaim": {"claimName": "disk"}}


def test_a_run_whose_name_no_object_may_have_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [*WORDS, "--dry-run", "--kubernetes.image", "i", "--run-dir", "My_Run"]
    assert main(["train", "reacher-tiny", *words]) == 2
    assert "'My_Run' names objects of Kubernetes" in capsys.readouterr().err
