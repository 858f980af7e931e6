"""A real SLURM on this one machine, reachable over loopback only, for the tests that need jobs to be preempted."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

# Daemons live in sbin, which is not in everyone's PATH.
SEARCHED = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "sinfo", "squeue")
PATIENCE_SECONDS = 30

# cred_expire is how long a requeued job waits before it starts again: two minutes, unless a value of 5 or more is set.
# config_overrides: the node has the CPUs and the memory written here, however little the machine has.
SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}({address})
SlurmUser=root
SlurmctldPort={controller_port}
SlurmdPort={node_port}
{listening}
AuthType=auth/munge
AuthInfo=socket={short}/munge/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={short}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=2
NodeName={host} NodeAddr={address} CPUs=2 RealMemory=1000000
PartitionName=low Nodes={host} Default=YES PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes={host} PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str | None:
    """Why no SLURM can be started here, in a line; None where it can."""
    if not all(shutil.which(program, path=SEARCHED) for program in PROGRAMS):
        return "SLURM is not installed (apt-get install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "SLURM's daemons need root, which this user is not"
    return None


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[dict[str, str]]:
    """A running SLURM of one node with 2 CPUs: yields the variables that its clients (sbatch, srun, ...) need.

    Jobs go to the partition "low"; a job in "high" that needs their CPUs preempts them, and they are requeued.
    Configuration, state and logs are in `folder`; at the end all jobs are cancelled and all daemons have ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Not in `folder`: the user munge may not enter a folder of pytest's, and paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as short, ExitStack() as stack:
        Path(short).chmod(0o755)
        _write_files(folder, Path(short))
        env = {"SLURM_CONF": str(folder / "slurm.conf")}
        munge = Path(short, "munge")
        places = [f"--socket={munge}/socket", *(f"--{name}-file={munge}/{name}" for name in ("key", "seed", "pid"))]
        _start(stack, folder, ["munged", "--foreground", *places], env, user="munge")
        _wait((munge / "socket").exists, folder, "munged does not answer")
        _start(stack, folder, ["slurmctld", "-D"], env)
        _start(stack, folder, ["slurmd", "-D"], env)
        _wait(lambda: _client(env, "sinfo", "-h", "-o", "%T") == "idle", folder, "the node is not idle")
        stack.callback(_cancel_all, env, folder)
        yield env


def _write_files(folder: Path, short: Path) -> None:
    """The configuration in `folder`; in `short` a folder and a new key for munge."""
    (folder / "state").mkdir(exist_ok=True)
    (short / "spool").mkdir()
    munge = short / "munge"
    munge.mkdir()
    munge.chmod(0o755)
    key = munge / "key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    for path in (munge, key):
        shutil.chown(path, "munge", "munge")
    # Both are open at once, so that they differ.
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = {"controller_port": first.getsockname()[1], "node_port": second.getsockname()[1]}
    host = socket.gethostname().split(".")[0]
    # A daemon that is told to listen on one address only takes the one that the host's name stands for. Where that is
    # not a loopback address, the daemons listen on all of them (munge's new key keeps others out).
    listening = "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny"
    try:
        address = socket.gethostbyname(host)
    except OSError:
        address = ""
    if not address.startswith("127."):
        address, listening = "127.0.0.1", ""
    values = {"host": host, "address": address, "listening": listening, **ports}
    (folder / "slurm.conf").write_text(SLURM_CONF.format(folder=folder, short=short, **values))


def _start(stack: ExitStack, folder: Path, command: list[str], env: dict[str, str], user: str | None = None) -> None:
    """Start a daemon that writes to <name>.log in `folder`; `stack` ends it."""
    environment = {**os.environ, **env, "PATH": SEARCHED}
    who = {"user": user, "group": user, "extra_groups": []} if user else {}
    with (folder / f"{command[0]}.log").open("ab") as log:
        # A session of its own: Ctrl-C ends the test, which then ends the daemons in order.
        streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        process = subprocess.Popen(command, env=environment, start_new_session=True, **streams, **who)
    stack.callback(_stop, process)


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _client(env: dict[str, str], *command: str) -> str | None:
    """What a client of SLURM printed; None where it failed."""
    environment = {**os.environ, **env, "PATH": SEARCHED}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cancel_all(env: dict[str, str], folder: Path) -> None:
    def none_left() -> bool:
        # Again each time: a job that is just being requeued comes back.
        _client(env, "scancel", "--user=root")
        return _client(env, "squeue", "-h") == ""

    _wait(none_left, folder, "jobs do not end")


def _wait(condition: Callable[[], bool], folder: Path, otherwise: str) -> None:
    """Return once `condition` holds; raise an error with the ends of the daemons' logs if it does not in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            logs = [f"{log.name}:\n{log.read_text(errors='replace')[-2000:]}" for log in sorted(folder.glob("*.log"))]
            raise RuntimeError("\n".join([f"SLURM: {otherwise} after {PATIENCE_SECONDS} seconds", *logs]))
        time.sleep(0.1)
