"""Python processes without start-up: forks of a server that has imported what they will import.

    server = WarmPython(["torch"], dict(os.environ))
    process = server.start(["/code/train.py", "--seed", "1"], dict(os.environ), Path.cwd(), log, log)
    process.wait()

A process differs from ``python /code/train.py --seed 1`` in what it finds in `sys.modules`, and in nothing else that a
program should notice: session, working directory, environment, standard streams, signal handlers, ``sys.argv``,
``__main__``, random numbers and the end of the interpreter are those of a fresh one.

The forkserver of `multiprocessing` starts functions, not programs: it imports the caller's main module again in each
process, looks for the modules of its server wherever the caller is, ends processes with `os._exit`, and loses one that
is started as a signal arrives.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parents[1]
PAUSE = 0.01  # seconds from one look at a process that is waited for to the next


class Command(NamedTuple):
    """What a process runs.

    Attributes:
        arguments: of Python: the absolute path of a script, or "-m" and a module, and their arguments.
        environment: all of its variables. Those that Python and the modules read as they start have no effect.
        folder: the working directory.
        stdout, stderr: files that are appended to.
    """

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    stdout: str
    stderr: str


class ServerLost(Exception):
    """The server has ended, so that nobody will learn how its processes end."""


class WarmPython:
    """A server of processes. It ends with the caller, however that ends; its processes do not.

    Args:
        modules: which it imports. What fails to be imported is left to the processes.
        environment: its variables.

    Attributes:
        environment: as above.
        is_lost: whether it was found to have ended.

    Raises:
        ServerLost: it does not start.
    """

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]):
        self.environment, self.is_lost = dict(environment), False
        self._connection, its_end = Pipe()
        with its_end:
            self._server = subprocess.Popen(
                [sys.executable, __file__, str(its_end.fileno()), *modules],
                env=self.environment,
                pass_fds=[its_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # a pipe to the caller's reader must not outlive the caller
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # out of the reach of Ctrl-C
            )
        self._receive()

    @staticmethod
    def is_possible() -> bool:
        """Whether processes can be forked once PyTorch is imported; on macOS its libraries do not allow it."""
        return sys.platform == "linux"

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, stdout: Path, stderr: Path
    ) -> WarmProcess:
        """Start a process, in a session of its own, see `Command`.

        Raises:
            ServerLost: the server has ended.
        """
        command = Command(list(arguments), dict(environment), str(folder), str(stdout), str(stderr))
        return WarmProcess(self, self._ask(tuple(command)), list(arguments))

    def close(self) -> None:
        """End the server."""
        self._connection.close()
        self._server.wait()

    def exit_code(self, pid: int) -> int | None:
        """How one of its processes has ended, as `subprocess.Popen.poll` says it."""
        return self._ask(pid)

    def _ask(self, question: tuple | int) -> int | None:
        from support.deferred_signals import deferred_signals  # the server, a script, has no such package at first

        with deferred_signals():  # half a message would be the end of the conversation
            try:
                self._connection.send(question)
            except OSError as error:
                self.is_lost = True
                raise ServerLost from error
            return self._receive()

    def _receive(self) -> int | None:
        try:
            return self._connection.recv()
        except (EOFError, OSError) as error:
            self.is_lost = True
            raise ServerLost from error


class WarmProcess:
    """A process that a `WarmPython` has started, with the methods of `subprocess.Popen` that its callers need."""

    def __init__(self, server: WarmPython, pid: int, arguments: list[str]):
        self.pid, self.returncode = pid, None
        self._server, self._arguments = server, arguments

    def poll(self) -> int | None:
        """The exit code, negative after a signal; None while it runs. Raises ServerLost."""
        if self.returncode is None:
            self.returncode = self._server.exit_code(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code. Raises ServerLost, and subprocess.TimeoutExpired after ``timeout`` seconds."""
        started = time.monotonic()
        while self.poll() is None:
            if timeout is not None and time.monotonic() - started > timeout:
                raise subprocess.TimeoutExpired(self._arguments, timeout)
            time.sleep(PAUSE)
        return self.returncode


# In the server


def serve(connection: Connection, modules: Sequence[str]) -> Command | None:
    """Answer until the caller has ended: then None. In a new process, return its command."""
    for module in modules:
        with suppress(Exception):  # a process that needs it will say what is wrong
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # no collection in a process looks at, and copies, what all of them share
    connection.send(None)
    while True:
        try:
            question = connection.recv()
        except EOFError:
            return None
        if isinstance(question, int):
            connection.send(_exit_code(question))
        elif pid := _fork():
            connection.send(pid)
        else:
            connection.close()
            return Command(*question)


def _exit_code(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _fork() -> int:
    """Fork a process with a session of its own, which it has when its number is returned; in it, return 0."""
    has_session, in_process = os.pipe()
    pid = os.fork()
    if not pid:
        os.setsid()
    os.close(in_process)
    if pid:
        os.read(has_session, 1)  # ends as the process closes its end
    os.close(has_session)
    return pid


def become(command: Command) -> None:
    """Make this process what Python would be that had just been started with ``command``."""
    os.chdir(command.folder)
    for stream, file in ((sys.stdout, command.stdout), (sys.stderr, command.stderr)):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(command.environment)
    is_module = command.arguments[0] == "-m"
    sys.orig_argv = [sys.executable, *command.arguments]
    sys.argv = command.arguments[is_module:]
    sys.path[0] = os.getcwd() if is_module else str(Path(sys.argv[0]).resolve().parent)
    # The global generators get seeds from the system as they are imported; that of `random` does so at a fork, too.
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()


def run(arguments: list[str]) -> int:
    """Run a script or a module as the main program; returns the exit code."""
    try:
        if arguments[0] == "-m":
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def end(code: int) -> NoReturn:
    """What the interpreter does at its end, but for taking all modules apart, which takes a second."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def main() -> None:
    command = serve(Connection(int(sys.argv[1])), sys.argv[2:])
    if command is None:
        end(0)
    become(command)
    end(run(command.arguments))


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    main()
