import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.host import privilege


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "--settings"),
        (["--settings", "{"], "error"),
        (["--settings", "{}"], "either --channel-fd"),
        (["--settings", '{"connect_timeout": "soon"}', "--channel-fd", "0"], "connect_timeout"),
        (["--settings", "{}", "--channel-fd", "0", "--link-fd", "0"], "either --channel-fd"),
        (["--settings", "{}", "--channel-fd", "99"], "99 is no socket"),
        (["--settings", "{}", "--link-fd", "99"], "99 is no socket"),
    ],
)
def test_bad_arguments_are_told_in_a_sentence(arguments: list[str], why: str) -> None:
    argv = [sys.executable, "-m", "agent.host.broker", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_the_launcher_runs_a_program_without_privilege_on_a_leash() -> None:
    code = "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)"
    code += "; print([line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapEff', 'CapPrm'))])"
    argv = [sys.executable, "-m", "agent.host.launch", str(os.getpid()), str(os.geteuid()), sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["9", str(["0" * 16, "0" * 16])], done.stderr


def test_the_launcher_ends_where_its_parent_is_gone() -> None:
    argv = [sys.executable, "-m", "agent.host.launch", "1", str(os.geteuid()), "true"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "the parent is gone\n")


def test_the_launcher_says_what_could_not_be_started() -> None:
    argv = [sys.executable, "-m", "agent.host.launch", str(os.getpid()), str(os.geteuid()), "/no/such/program"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "the front was not started" in done.stderr


def test_what_forbids_dumps_cannot_be_dumped() -> None:
    code = "import ctypes, agent.host.privilege as p; p.forbid_dumps(); print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"  # PR_GET_DUMPABLE, prctl(2)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_forbids_dumps_is_read_by_root_alone() -> None:
    """As the front is: another user by the launcher, dumpable as every program is when it starts, then not any more."""
    (told, tell), (goes_on, go_on) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.setresuid(privilege.NOBODY, privilege.NOBODY, privilege.NOBODY)
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which execve(2) does
        os.write(tell, b"x")
        os.read(goes_on, 1)
        privilege.forbid_dumps()
        os.write(tell, b"x")
        os.read(goes_on, 1)
        os._exit(0)
    owners = []
    for _ in range(2):
        os.read(told, 1)
        owners.append(Path(f"/proc/{child}/environ").stat().st_uid)
        os.write(go_on, b"x")
    os.waitpid(child, 0)
    for descriptor in (told, tell, goes_on, go_on):
        os.close(descriptor)
    assert owners == [privilege.NOBODY, 0]  # proc(5)
