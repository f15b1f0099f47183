import os
import sys
import time
from pathlib import Path

import pytest

from agent.host import command


def test_output_status_and_input_come_through() -> None:
    done = command.run(["sh", "-c", "cat; echo sorry >&2; exit 3"], stdin=b"x" * 200_000)
    assert (done.status, done.stdout, done.stderr, done.problem) == (3, b"x" * 200_000, b"sorry\n", "")
    assert done.seconds > 0


def test_a_missing_program_is_a_value() -> None:
    done = command.run(["no-such-program-here"])
    assert (done.status, done.problem) == (None, "no-such-program-here is not installed")


def test_a_program_that_cannot_run_is_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken").write_text("#!/no/such/interpreter\n")
    (tmp_path / "broken").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.run(["broken"]).problem == "broken could not be started: No such file or directory"


def test_one_that_hangs_is_killed_with_its_children() -> None:
    done = command.run(["sh", "-c", "sleep 77 & echo $!; wait"], timeout=0.2)
    assert done.status is None
    assert done.problem.endswith("did not end in time")
    command_line = Path(f"/proc/{int(done.stdout)}/cmdline")  # gone, or empty where nobody collected the dead
    end = time.monotonic() + 5
    while command_line.exists() and command_line.read_bytes() and time.monotonic() < end:
        time.sleep(0.01)
    assert not command_line.exists() or not command_line.read_bytes()


def test_too_much_output_is_refused() -> None:
    child = command.spawn(["/bin/sh", "-c", "while :; do echo 0123456789; done"])
    done = child.converse(b"", 5.0, limit=100_000)
    assert done.status is None
    assert "more than 100000 bytes" in done.problem


@pytest.mark.parametrize(("size", "problem"), [(48 << 20, "took more than 33554432 bytes of memory"), (4 << 20, "")])
def test_one_that_takes_too_much_memory_is_killed(size: int, problem: str) -> None:
    code = f"import time; kept = bytearray(b'x' * {size}); print('taken', flush=True); time.sleep({60 if problem else 0.1})"
    done = command.spawn([sys.executable, "-c", code]).converse(b"", 30.0, memory=32 << 20)
    assert done.status == (None if problem else 0)
    assert done.problem == (f"{sys.executable} {problem}" if problem else "")


def test_one_that_does_not_read_its_input_is_no_error() -> None:
    assert command.run(["true"], stdin=b"x" * 1_000_000).status == 0


def test_a_crash_shows_its_signal() -> None:
    assert command.run(["sh", "-c", "kill -SEGV $$"]).status == -11


def test_messages_are_english() -> None:
    assert command.run(["sh", "-c", "echo $LC_ALL"]).stdout == b"C\n"


def test_a_spawned_child_hangs_on_the_leash() -> None:
    # Asked for in the child itself: PR_GET_PDEATHSIG, prctl(2).
    ask = "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)"
    assert command.run([sys.executable, "-c", ask]).stdout == b"9\n"


def test_an_unleashed_child_can_be_ended() -> None:
    read, write = os.pipe()
    child = command.start(["/bin/sh", "-c", "sleep 77"])
    assert child.status is None
    assert not command.wait_for(child, read, timeout=0.01)
    os.write(write, b"!")
    assert command.wait_for(child, read)
    child.terminate()
    child.end(1.0)
    assert child.status == -15
    os.close(read)
    os.close(write)
