"""Kubernetes: a manifest of a JobSet, its headless service, its config and its secrets.

The learner's pod is the first node; every further node is a pod that joins it by name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moma.engines.deployment import Deployment
from moma_core.rpc.trust import AUTHORITY, token_file
from moma_core.stopping import BAD_INPUT, NOT_SUPPORTED

PORT = 7000
"""The learner's."""
KEYS, CONFIG, RUNS = "/etc/moma/keys", "/etc/moma/config", "/runs"
"""Where a container finds the run's keys and config, and where runs lie."""
_RETRIES, _FOR_EVER = 20, 1_000_000
"""Pods of the learner that may be lost before the job is given up, and pods of a worker."""
_SECRET = 0o400
"""Permissions of secret files; Kubernetes adds reading by the pod's group."""
_USER = 1000
Object = dict[str, Any]


def manifest(
    name: str,
    config: str,
    keys: Mapping[str, bytes],
    deployment: Deployment,
    *,
    cores: int,
    gpu: bool,
    workers: int,
) -> str:
    """Returns the objects of a run, as JSON that kubectl takes.

    Args:
        name: the run's.
        config: the run's, as a document.
        keys: file name to content of the run's keys.
        deployment: how many pods, and of which image.
        cores: of each pod.
        gpu: one for each pod.
        workers: on all pods together.
    """
    pods = deployment.nodes - 1
    each = workers // deployment.nodes
    own = workers - pods * each
    kubernetes = deployment.kubernetes
    pod = _Pod(kubernetes.image, cores, gpu=gpu)
    meta = {"name": name, "namespace": kubernetes.namespace}
    encoded = {file: base64.b64encode(content).decode() for file, content in keys.items()}
    service = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {"jobset.sigs.k8s.io/jobset-name": name},
    }
    jobs = {
        "network": {"enableDNSHostnames": True, "subdomain": name},
        "successPolicy": {"operator": "All", "targetReplicatedJobs": ["learner"]},
        "replicatedJobs": [
            _learner(name, kubernetes.claim, pod, own),
            *[_workers(name, pod, pods, each)] * bool(pods),
        ],
    }
    items = [
        _object("v1", "Secret", meta, {"type": "Opaque", "data": encoded}),
        _object("v1", "ConfigMap", meta, {"data": {"config.json": config}}),
        _object("v1", "Service", meta, {"spec": service}),
        _object("jobset.x-k8s.io/v1alpha2", "JobSet", meta, {"spec": jobs}),
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1) + "\n"


@dataclass(frozen=True)
class _Pod:
    """What all pods have."""

    image: str
    cores: int
    gpu: bool

    def spec(
        self, name: str, command: list[str], volumes: Mapping[str, tuple[str, Object]], restart: str
    ) -> Object:
        """Returns a pod of one container.

        Args:
            name: the container's.
            command: its command line.
            volumes: by their names, where they are mounted and what they are.
            restart: when the container is started again in its place.
        """
        share: Object = {"cpu": str(self.cores)} | ({"nvidia.com/gpu": "1"} if self.gpu else {})
        container = {
            "name": name,
            "image": self.image,
            "command": command,
            "resources": {"requests": share, "limits": share},
            "volumeMounts": [{"name": v, "mountPath": path} for v, (path, _) in volumes.items()],
        }
        user = {"runAsNonRoot": True, "runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER}
        spec = {
            "restartPolicy": restart,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 30,
            "securityContext": user,
            "containers": [container],
            "volumes": [{"name": volume} | what for volume, (_, what) in volumes.items()],
        }
        return {"spec": spec}


def _learner(name: str, claim: str, pod: _Pod, workers: int) -> Object:
    run = f"{RUNS}/{name}"
    # The pod may be a second one, whose volume has the run already: then it is resumed.
    script = (
        f"set -e; mkdir -p {run}/checkpoints {run}/events {run}/logs; "
        f"[ -f {run}/config.json ] || cp {CONFIG}/config.json {run}/; "
        'exec moma train --resume "$0" "$@"'
    )
    listen = ["--listen", f"0.0.0.0:{PORT}", "--advertise", f"{_host(name)}:{PORT}"]
    command = ["sh", "-c", script, run, "--workers", str(workers), *listen, "--keys", KEYS]
    disk = {"persistentVolumeClaim": {"claimName": claim}} if claim else {"emptyDir": {}}
    volumes: dict[str, tuple[str, Object]] = {
        "keys": (KEYS, {"secret": {"secretName": name, "defaultMode": _SECRET}}),
        "config": (CONFIG, {"configMap": {"name": name}}),
        "runs": (RUNS, disk),
    }
    ends = {"containerName": "learner", "operator": "In", "values": [BAD_INPUT, NOT_SUPPORTED]}
    job = {
        "backoffLimit": _RETRIES,
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": ends}]},
        "template": pod.spec("learner", command, volumes, "Never"),
    }
    return _replicated("learner", 1, job)


def _workers(name: str, pod: _Pod, pods: int, each: int) -> Object:
    command = ["moma", "work", "--join", f"{_host(name)}:{PORT}"]
    command += ["--token-file", f"{KEYS}/{token_file('worker')}", "--workers", str(each)]
    command += ["--device", "cuda"] * pod.gpu
    # Of the keys a worker sees its token and what it knows the learner by.
    shown = [{"key": file, "path": file} for file in (AUTHORITY, token_file("worker"))]
    secret = {"secretName": name, "defaultMode": _SECRET, "items": shown}
    spec = pod.spec("worker", command, {"keys": (KEYS, {"secret": secret})}, "OnFailure")
    return _replicated("worker", pods, {"backoffLimit": _FOR_EVER, "template": spec})


def _replicated(name: str, pods: int, job: Object) -> Object:
    counts = {"parallelism": pods, "completions": pods, "completionMode": "Indexed"}
    return {"name": name, "replicas": 1, "template": {"spec": counts | job}}


def _host(name: str) -> str:
    """Returns the name of the learner's pod, as JobSet and the headless service give it."""
    return f"{name}-learner-0-0.{name}"


def _object(version: str, kind: str, meta: Object, rest: Object) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": meta} | rest
