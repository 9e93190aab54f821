"""A real Slurm of one node, in a folder of its own, with its own configuration and ports."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
SECONDS_TO_START = 60
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=1,bf_interval=1
MpiDefault=none
ReturnToService=2
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def where(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def installed() -> bool:
    return all(map(where, PROGRAMS))


class Node:
    """What a user sees: commands of Slurm, with the environment that they need."""

    def __init__(self, folder: Path):
        self.host, self.environment = socket.gethostname().partition(".")[0], {
            **os.environ, "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{os.environ['PATH']}:{sysconfig.get_path('scripts')}:/usr/sbin:/sbin"}

    def call(self, *words: object, check: bool = True) -> str:
        done = subprocess.run(list(map(str, words)), env=self.environment, text=True, capture_output=True)
        assert not check or done.returncode == 0, (words, done.stderr)
        return done.stdout

    def queue(self) -> list[str]:
        """JOB_INDEX STEP STATE of everything that is queued, a task a line."""
        return self.call("squeue", "--noheader", "--array", "--format=%F_%K %j %T", check=False).split("\n")[:-1]

    def wait(self, what, seconds: float = 300) -> object:
        """Until what() is true; returns it."""
        until = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < until, (what, self.queue())
            time.sleep(0.05)
        return found


@contextmanager
def running():
    """A `Node`, whose daemons are stopped at the end with everything that they have started."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a short path: that of a socket is limited
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in ("munge", "state", "spool"):
            (folder / name).mkdir(mode=0o700)
        (folder / "munge" / "key").write_bytes(os.urandom(1024))
        (folder / "munge" / "key").chmod(0o400)
        node = Node(folder)
        (folder / "slurm.conf").write_text(CONFIGURATION.format(
            host=node.host, folder=folder, ports=_free_ports(2), user=_user()))
        munge = {name: folder / "munge" / name for name in ("socket", "key-file", "log-file", "pid-file", "seed-file")}
        munge["key-file"] = folder / "munge" / "key"
        _start(stack, folder, "munged", "--foreground", "--force", *(f"--{name}={at}" for name, at in munge.items()))
        node.wait(munge["socket"].exists, SECONDS_TO_START)
        _start(stack, folder, "slurmctld", "-D", "-f", folder / "slurm.conf")
        node.wait(lambda: "UP" in node.call("scontrol", "ping", check=False), SECONDS_TO_START)
        _start(stack, folder, "slurmd", "-D", "-f", folder / "slurm.conf")
        node.wait(lambda: "idle" in node.call("sinfo", "--noheader", "--format=%T", check=False), SECONDS_TO_START)
        try:
            yield node
        finally:
            node.call("scancel", "--me", check=False)
            node.wait(lambda: not node.queue(), SECONDS_TO_START)


def _ends_with_us():
    """In the child: SIGTERM when the tests end, however they do."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _start(stack, folder, program, *words):
    log = stack.enter_context((folder / f"{program}.out").open("w"))
    daemon = subprocess.Popen([where(program), *map(str, words)], stdout=log, stderr=log, preexec_fn=_ends_with_us,
                              env={**os.environ, "SLURM_CONF": str(folder / "slurm.conf")})

    def stop():
        daemon.terminate()
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    stack.callback(stop)


def _free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _user():
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name
