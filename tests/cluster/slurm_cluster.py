"""A Slurm of one controller and a node for each machine, from Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

CORES = 2
_CONF = """
ClusterName=moma
SlurmctldHost={head}({address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={at}/munge.sock
CryptoType=crypto/munge
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/%n.spool
SlurmctldPidFile={at}/ctld.pid
SlurmdPidFile={at}/%n.pid
SlurmctldLogFile={at}/ctld.log
SlurmdLogFile={at}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SlurmdTimeout=10
InactiveLimit=0
KillWait=10
MinJobAge=300
ReturnToService=2
JobRequeue=1
SchedulerParameters=batch_sched_delay=1,sched_interval=2,requeue_delay=1
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """Started on machines, the first of which holds the controller; `env` names it to clients."""

    def __init__(self, machines, control, directory: Path) -> None:
        self.machines, self._control, self._at = machines, control, directory
        self.env = os.environ | {"SLURM_CONF": str(directory / "slurm.conf")}
        self._munged: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Slurm:
        self._at.mkdir()
        (self._at / "state").mkdir()
        self._start_munge()
        nodes = "\n".join(
            f"NodeName={m.name} NodeHostname={m.name} NodeAddr={m.address} CPUs={CORES}"
            for m in self.machines
        )
        head = self._control
        conf = _CONF.format(head=head.name, address=head.address, at=self._at, nodes=nodes)
        (self._at / "slurm.conf").write_text(conf)
        head.start("/usr/sbin/slurmctld", "-D", log=self._at / "out.log", env=self.env)
        for machine in self.machines:
            self.begin(machine)
        self.until_idle()
        return self

    def begin(self, machine) -> None:
        """Starts a machine's slurmd."""
        (self._at / f"{machine.name}.spool").mkdir(exist_ok=True)
        words = ("/usr/sbin/slurmd", "-D", "-N", machine.name)
        machine.start(*words, log=self._at / "out.log", env=self.env)

    def job(self, field: str) -> str:
        """Returns a field of the only job."""
        words = self.client("scontrol", "show", "job", "--oneliner").split()
        (found,) = [word.partition("=")[2] for word in words if word.startswith(f"{field}=")]
        return found

    def until_idle(self, within_s: float = 60.0) -> None:
        """Waits until every node is idle."""
        end = time.monotonic() + within_s
        while (found := self.client("sinfo", "-h", "-o", "%T").split()) != ["idle"]:
            assert time.monotonic() < end, f"{found}: {(self._at / 'ctld.log').read_text()[-3000:]}"
            time.sleep(0.5)

    def client(self, *words: object) -> str:
        """Runs a command of Slurm's on the controller's machine."""
        return self._control.call(*words, env=self.env, cwd=self._at)

    def __exit__(self, *_: object) -> None:
        if self._munged is not None:
            self._munged.terminate()
            self._munged.wait(10)

    def _start_munge(self) -> None:
        key = self._at / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        shutil.chown(key, "root")
        words = ["--foreground", "--force", f"--socket={self._at}/munge.sock", f"--key-file={key}"]
        words += [f"--pid-file={self._at}/munge.pid", f"--log-file={self._at}/munge.log"]
        words += [f"--seed-file={self._at}/munge.seed"]
        with (self._at / "munged.out").open("wb") as out:
            self._munged = subprocess.Popen(["/usr/sbin/munged", *words], stdout=out, stderr=out)
        end = time.monotonic() + 10
        while not (self._at / "munge.sock").exists():
            assert time.monotonic() < end, (self._at / "munged.out").read_text()
            time.sleep(0.1)
