"""A real SLURM on this machine while a test runs: two nodes, eight fake GPUs, no accounting."""

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

REQUIRED = "SSGR_REQUIRE_SLURM"
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
NODES = ("left", "right")
GPUS = 4
"""Of each node."""
GRACE = 10.0
"""Seconds that a daemon may take to end."""
PATIENCE = 120.0
"""Seconds after which a cluster that does not do what a test waits for has failed it."""

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
MinJobAge=3600
KillWait=2
ReturnToService=2
MpiDefault=none
SlurmdParameters=config_overrides
GresTypes=gpu
{nodes}
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE DefMemPerCPU=100 State=UP
"""


@dataclass
class Slurm:
    """The cluster: its commands and its daemons."""

    folder: Path
    controller: list[subprocess.Popen[bytes]] = field(default_factory=list)
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a user of this cluster has in his environment."""
        shims = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": shims}

    def run(self, *command: str) -> str:
        """Run a SLURM command and return what it says."""
        done = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        """All jobs there have been, by number, as `scontrol show job` has them."""
        said = self.run("scontrol", "--oneliner", "--details", "show", "job")
        rows = [
            dict(re.findall(r"(\w+)=(\S*)", line))
            for line in said.splitlines()
            if line.startswith("JobId=")
        ]
        return sorted(rows, key=lambda row: int(row["JobId"]))

    def start_controller(self) -> None:
        """Start the controller, from its saved state if there is one, and wait until it answers."""
        self.controller = [self._started("slurmctld")]
        until(self._answers, "the controller answers")

    def stop_controller(self) -> None:
        """End the controller as an administrator's `systemctl stop` does."""
        controller = self.controller.pop()
        controller.terminate()
        controller.wait(PATIENCE)

    def start_nodes(self) -> None:
        """Start the daemon of every node and wait until all are idle."""
        for node in NODES:
            self.nodes.append(self._started("slurmd", "-N", node))
        until(self._all_idle, "all nodes are idle")

    def stop(self) -> None:
        """Cancel what is left and end the daemons."""
        try:
            if self.nodes:
                self.run("scancel", f"--user={me()}")
                until(lambda: not self.run("squeue", "--noheader"), "all jobs have ended")
        finally:
            for daemon in [*self.nodes, *self.controller]:
                daemon.terminate()
                try:
                    daemon.wait(GRACE)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()
            self._kill_what_is_left()

    def _kill_what_is_left(self) -> None:
        """End jobs that have outlived their cluster."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):  # it has ended just now, or is another user's
                if process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]:
                    process.kill()

    def _started(self, *command: str) -> subprocess.Popen[bytes]:
        words = (*command, "-D", "-f", self.environment["SLURM_CONF"])
        with (self.folder / "daemons.log").open("ab") as log:
            return subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)

    def _answers(self) -> bool:
        done = subprocess.run(
            ["scontrol", "ping"], env=os.environ | self.environment, capture_output=True
        )
        return b"is UP" in done.stdout

    def _all_idle(self) -> bool:
        said = self.run("sinfo", "--noheader", "--Node", "--format=%T")
        return said.split() == ["idle"] * len(NODES)


def me() -> str:
    """The name of who runs this."""
    return pwd.getpwuid(os.geteuid()).pw_name


def wanted() -> None:
    """Skip the test unless it is asked for: it takes minutes, most of them waiting."""
    if not os.environ.get(REQUIRED):
        pytest.skip(f"takes minutes and a SLURM (Debian: slurm-wlm): set {REQUIRED}=1")
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.fail(f"{REQUIRED} is set, and there is no {', '.join(missing)}")


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Slurm]:
    """A cluster that runs in ``folder``; none of it outlives the test."""
    slurm = Slurm(folder)
    try:
        configure(folder)
        slurm.start_controller()
        slurm.start_nodes()
        yield slurm
    finally:
        slurm.stop()


def until(true: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait until something is true; a test fails that waits for ever."""
    end = time.monotonic() + patience
    while not true():
        if time.monotonic() > end:
            pytest.fail(f"waited {patience:.0f} s in vain until {what}")
        time.sleep(0.2)


def configure(folder: Path) -> None:
    """Write the configuration of a cluster."""
    host = socket.gethostname().split(".")[0]
    ports = free_ports(1 + len(NODES))
    nodes = [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 "
        f"RealMemory=32000 Gres=gpu:{GPUS} State=UNKNOWN"
        for node, port in zip(NODES, ports[1:], strict=True)
    ]
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            host=host,
            port=ports[0],
            user=me(),
            folder=folder,
            nodes="\n".join(nodes),
        )
    )
    devices = folder / "dev"
    devices.mkdir()
    lines = ["AutoDetect=off"]
    for node in NODES:
        for device in range(GPUS):
            (devices / f"{node}{device}").symlink_to("/dev/null")  # a character device is asked for
        lines.append(f"NodeName={node} Name=gpu File={devices}/{node}[0-{GPUS - 1}]")
    (folder / "gres.conf").write_text("\n".join(lines) + "\n")
    # Snakemake's SLURM job step drops every SLURM_* variable before it calls srun.
    shim = folder / "bin" / "srun"
    shim.parent.mkdir()
    real = shutil.which("srun")
    shim.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {real} "$@"\n')
    shim.chmod(0o755)
    (folder / "state").mkdir()


def free_ports(count: int) -> list[int]:
    """As many TCP ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
