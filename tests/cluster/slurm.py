"""A real Slurm cluster of one node, this machine, started in a folder of its own and stopped again."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch")
PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"  # where Debian has the daemons, and not every user looks
INSTALL = (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "slurm-wlm", "munge"])

SETTINGS = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=16000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """The programs that have yet to be installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]


def install():
    """Installs them if this is root on Debian; RuntimeError that says what to install elsewhere."""
    if missing() and (os.geteuid() or not shutil.which("apt-get")):
        raise RuntimeError(f"{', '.join(missing())} not found: install Slurm and MUNGE (Debian: slurm-wlm munge)")
    for command in INSTALL if missing() else ():
        subprocess.run(command, check=True, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


class Slurm:
    """`with Slurm(folder) as cluster`: its daemons run; cluster.environment lets commands find it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.environment = {"PATH": f"{self.folder}:{PATH}", "SLURM_CONF": str(self.folder / "slurm.conf")}
        self.daemons = []

    def __enter__(self):
        host = socket.gethostname().split(".")[0]
        user = subprocess.check_output(["id", "-un"], text=True, encoding="utf-8").strip()
        text = SETTINGS.format(folder=self.folder, host=host, user=user, ports=free_ports(2), cpus=os.cpu_count())
        (self.folder / "slurm.conf").write_text(text, encoding="utf-8")
        srun = self.folder / "srun"  # the executor calls it without $SLURM_CONF
        srun.write_text(
            f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun")} "$@"\n', encoding="utf-8"
        )
        srun.chmod(0o755)
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir(mode=0o700)
        munge = {name: f"{self.folder}/munge/{name}" for name in ("key", "pid", "log", "seed")}
        subprocess.run(["mungekey", "--create", "--keyfile", munge["key"]], check=True, env=self.all)
        files = [f"--{name}-file={path}" for name, path in munge.items()]
        try:
            self.start("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *files)
            self.start("slurmctld", "-D")
            self.start("slurmd", "-D")
            self.wait("idle", "sinfo", "--noheader", "--format=%T")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            if len(self.daemons) == 3:
                self.run("scancel", f"--user={os.geteuid()}")
                self.wait("", "squeue", "--noheader")
        finally:
            for daemon in reversed(self.daemons):
                daemon.terminate()
                daemon.wait(30)

    @property
    def all(self):
        return os.environ | self.environment

    def start(self, name, *options):
        log = (self.folder / f"{name}.said").open("w", encoding="utf-8")
        program = shutil.which(name, path=PATH)
        self.daemons.append(subprocess.Popen([program, *options], env=self.all, stdout=log, stderr=log))

    def run(self, *command):
        """What a Slurm command says."""
        done = subprocess.run(command, env=self.all, capture_output=True, text=True, encoding="utf-8")
        return (done.stdout + done.stderr).strip()

    def wait(self, wanted, *command, seconds=60):
        """Until `command` says `wanted`."""
        for _ in range(seconds):
            if (said := self.run(*command)) == wanted:
                return
            time.sleep(1)
        logs = [f"{path.name}: {path.read_text(encoding='utf-8')[-1000:]}" for path in self.folder.glob("*.said")]
        raise TimeoutError(f"{' '.join(command)} says {said!r}, not {wanted!r}\n" + "\n".join(logs))


def free_ports(count):
    """Ports that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
