"""The one place that starts other programs: argv lists only, no shell, a deadline and a cap on every answer.

Children of the broker hang on a leash: the kernel kills them when the broker dies (PR_SET_PDEATHSIG). That signal is tied to
the thread that made the child (prctl(2)), so every leashed child is made by one thread that lives as long as the process.
"""

import ctypes
import os
import select
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h
# Kept above what a node with 100,000 rules prints (`nft -j`: 48 MB); more than this is refused, not cut.
OUTPUT_LIMIT = 96 * 1024 * 1024
# A pipe holds 64 KiB unless told otherwise (pipe(7)): one read empties it.
_CHUNK = 64 * 1024
# How often a child's memory is looked at: one that reads a large table takes a megabyte in a millisecond.
_GLANCE = 0.005
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Where firewall tools live; PATH of an ordinary user often lacks them.
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

# PyDLL keeps the interpreter's lock: between fork and exec there is no other thread that could hand it back.
_prctl = ctypes.PyDLL(None).prctl
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a program ended. `status` is its exit code, minus the signal that killed it, None when it had no end of its own."""

    argv: tuple[str, ...]
    status: int | None
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = 0.0
    problem: str = ""


class Child:
    """A running program. Whoever holds it ends it: by `converse` (which waits for the end) or by `end`."""

    def __init__(self, process: subprocess.Popen[bytes], argv: Sequence[str]) -> None:
        self._process = process
        self._argv = tuple(argv)

    @property
    def pid(self) -> int:
        """The process id, valid until the child was reaped."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status, None while it runs. Reaps a child that has ended."""
        return self._process.poll()

    def converse(self, data: bytes, timeout: float, limit: int = OUTPUT_LIMIT, memory: int = 0) -> Completed:
        """Hands `data` to the child's stdin, collects its output until it ends, and reaps it.

        After `timeout` seconds, over `limit` bytes, or over `memory` bytes of its own (0: any), the child's whole process group
        is killed and `problem` says so. It is not told its bound (setrlimit(2)): iptables-nft-save 1.8.9 that gets no memory
        prints a part of the rules, and ends with 0.
        """
        started = time.monotonic()
        deadline = started + timeout
        output: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        problem = ""
        try:
            problem = self._pump(data, output, deadline, limit, memory)
            if not problem:
                self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            problem = "closed its output but did not end"
        finally:
            self._kill()
        return Completed(
            argv=self._argv,
            status=None if problem else self._process.returncode,
            stdout=bytes(output["stdout"]),
            stderr=bytes(output["stderr"]),
            seconds=time.monotonic() - started,
            problem=f"{self._argv[0]} {problem}" if problem else "",
        )

    def wait(self, timeout: float) -> bool:
        """True when the child has ended within `timeout` seconds."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def tell(self, data: bytes) -> None:
        """Writes to the child's stdin, which stays open until `end` or `converse`. Raises `OSError`."""
        if self._process.stdin is None:
            raise OSError("it has no stdin")
        self._process.stdin.write(data)

    def terminate(self) -> None:
        """Asks the child to end (SIGTERM)."""
        self._process.send_signal(signal.SIGTERM)

    def end(self, grace: float) -> None:
        """Gives the child `grace` seconds to end by itself, then kills its process group. It is reaped either way."""
        self.wait(grace)
        self._kill()

    def _memory(self) -> int:
        return memory_of(self._process.pid)

    def _kill(self) -> None:
        if self._process.poll() is None:
            # The child leads its own group, and its id cannot be reused before we reap it.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                _close(pipe)

    def _pump(self, data: bytes, output: dict[str, bytearray], deadline: float, limit: int, memory: int) -> str:
        """Moves bytes until both outputs are closed; the reason why it stopped early, or nothing."""
        stdin, rest = self._process.stdin, memoryview(data)
        with selectors.DefaultSelector() as selector:
            for name in output:
                pipe: IO[bytes] | None = getattr(self._process, name)
                if pipe is not None:
                    selector.register(pipe, selectors.EVENT_READ, name)
            if stdin is not None:
                os.set_blocking(stdin.fileno(), False)
                selector.register(stdin, selectors.EVENT_WRITE, "stdin")
            while selector.get_map():
                left = max(0.0, deadline - time.monotonic())
                ready = selector.select(min(left, _GLANCE) if memory else left)
                if not ready and time.monotonic() >= deadline:
                    return "did not end in time"
                if memory and self._memory() > memory:
                    return f"took more than {memory} bytes of memory"
                for key, _ in ready:
                    if key.data == "stdin":
                        rest = _write(key.fd, rest)
                        if not rest and stdin is not None:
                            selector.unregister(stdin)
                            _close(stdin)
                        continue
                    part = os.read(key.fd, _CHUNK)
                    output[key.data] += part
                    if not part:
                        selector.unregister(key.fileobj)
                if sum(map(len, output.values())) > limit:
                    return f"printed more than {limit} bytes"
        return ""


def memory_of(pid: int) -> int:
    """Bytes in memory that are no file's (proc(5), statm: resident without shared); 0 of a zombie. Raises `OSError`."""
    _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    return (int(resident) - int(shared)) * _PAGE


def find(program: str) -> str | None:
    """The path of a program in PATH or in the system's directories, None where it is not installed."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")


def prepare() -> None:
    """Makes the thread that makes children: they start in the namespaces that the process is in now, wherever it goes."""
    _spawner.submit(int).result()


def run(
    argv: Sequence[str], stdin: bytes = b"", timeout: float = 10.0, environment: Mapping[str, str] | None = None
) -> Completed:
    """Runs a program to its end, on the leash, with messages in English. Never raises: a failure is in the value."""
    path = find(argv[0])
    if path is None:
        return Completed(argv=tuple(argv), status=None, problem=f"{argv[0]} is not installed")
    try:
        child = spawn([path, *argv[1:]], environment={"LC_ALL": "C", **(environment or {})})
    except OSError as error:
        return Completed(argv=tuple(argv), status=None, problem=f"{argv[0]} could not be started: {error.strerror}")
    return child.converse(stdin, timeout)


def spawn(
    argv: Sequence[str], *, pass_fds: Sequence[int] = (), piped: bool = True, environment: Mapping[str, str] | None = None
) -> Child:
    """Starts a program on the leash. `piped` gives it pipes for `converse`; otherwise it keeps our output and has no input.

    `environment` is added to our own. Raises `OSError`.
    """
    return _spawner.submit(_start, argv, pass_fds, piped, environment, _leash(os.getpid())).result()


def start(argv: Sequence[str], *, pass_fds: Sequence[int] = ()) -> Child:
    """Starts a program that must see for itself when we are gone, from any thread. Raises `OSError`."""
    return _start(argv, pass_fds, False, None, None)


def wait_for(child: Child, wake: int, timeout: float | None = None) -> bool:
    """Waits until the child ends, the descriptor `wake` is readable, or `timeout` is up; True when `wake` is."""
    handle = os.pidfd_open(child.pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.register(wake, select.POLLIN)
        ready = poll.poll(None if timeout is None else int(timeout * 1000))
        return any(fd == wake for fd, _ in ready)
    finally:
        os.close(handle)


def _start(
    argv: Sequence[str],
    pass_fds: Sequence[int],
    piped: bool,
    environment: Mapping[str, str] | None,
    leash: Callable[[], None] | None,
) -> Child:
    pipe = subprocess.PIPE if piped else None
    process = subprocess.Popen(
        list(argv),
        bufsize=0,
        stdin=pipe if piped else subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        pass_fds=tuple(pass_fds),
        env={**os.environ, **(environment or {})},
        process_group=0,
        preexec_fn=leash,  # noqa: PLW1509  two calls prepared beforehand; the kernel offers no other way to set it first
    )
    return Child(process, argv)


def _leash(parent: int) -> Callable[[], None]:
    def hold() -> None:
        _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return hold


def _write(fd: int, rest: memoryview) -> memoryview:
    try:
        return rest[os.write(fd, rest[:_CHUNK]) :]
    except BrokenPipeError:  # the child does not want the rest; its status tells why
        return rest[:0]


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return
