"""The supervisor and its wards: who is started again and when, who hears of whom, who ends how."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from agent.host import link
from agent.host.ward import Ward

SUPERVISOR = (sys.executable, "-P", "-m", "agent.host.supervisor")
# Both take conversations from the link that their last argument names. The broker answers every byte with its own pid.
TAKING = """
import os, select, socket, sys
from agent.host import link
line = socket.socket(fileno=int(sys.argv[-1]))
"""
BROKER = f"""{TAKING}
from threading import Thread
def serve(conversation):
    while conversation.recv(1):
        conversation.send(str(os.getpid()).encode())
while (conversation := link.take(line)) is not None:
    Thread(target=serve, args=(conversation,), daemon=True).start()
os._exit(0)
"""
# Tells who it is, and whom it reaches, over each conversation that it is given; what it writes on the link is refused.
FRONT = f"""{TAKING}
try:
    line.send(b"x")
except BrokenPipeError:
    print("refused", flush=True)
while (conversation := link.take(line)) is not None:
    conversation.send(b"?")
    print(os.getpid(), conversation.recv(100).decode(), flush=True)
print("the end", flush=True)
"""
PATIENT = f"""{TAKING}
while (conversation := link.take(line)) is not None:
    conversation.close()
"""
DYING = "raise SystemExit(7)"


def python(code: str) -> str:
    return json.dumps([sys.executable, "-P", "-c", code])


@contextlib.contextmanager
def supervising(broker: str, front: str) -> Iterator[subprocess.Popen[str]]:
    argv = [*SUPERVISOR, "--broker", python(broker), "--front", python(front)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--broker", '["x"]'], "--front"),
        (["--broker", "{", "--front", '["x"]'], "a JSON list: "),
        (["--broker", "[]", "--front", '["x"]'], "a JSON list of words"),
        (["--broker", '["x"]', "--front", "[1]"], "a JSON list of words"),
        (["--broker", '["x"]', "--front", '["x"]', "--keep-fd", "99"], "descriptor 99 is not open"),
    ],
)
def test_bad_arguments_are_told_in_a_sentence(arguments: list[str], why: str) -> None:
    done = subprocess.run([*SUPERVISOR, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_whichever_dies_the_other_lives_on_and_hears_of_the_next() -> None:
    with supervising(BROKER, FRONT) as process:
        assert line_of(process) == "refused"
        front, broker = map(int, line_of(process).split())
        os.kill(broker, signal.SIGKILL)
        same, another = map(int, line_of(process).split())
        assert same == front
        assert another != broker
        os.kill(front, signal.SIGKILL)
        assert line_of(process) == "refused"
        new, still = map(int, line_of(process).split())
        assert new != front
        assert still == another
        process.send_signal(signal.SIGTERM)
        assert line_of(process) == "the end"
        assert process.wait(5) == 0
        for pid in (new, still):
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def test_who_dies_at_once_is_started_again_with_patience_and_said_so_each_time() -> None:
    with supervising(BROKER, DYING) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert [line.rsplit("in ", 1)[1] for line in said] == ["0.1 s\n", "0.2 s\n", "0.4 s\n"]
    assert said[0].startswith("kubereach: the front ended with status 7; ")


def test_a_broker_that_cannot_start_says_why_each_time() -> None:
    broker = json.dumps([sys.executable, "-P", "-m", "agent.host.broker", "--settings", "{"])
    argv = [*SUPERVISOR, "--broker", broker, "--front", python(PATIENT)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        while "0.2 s" not in said:
            said += process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert said.count("agent.host.broker: error: ") == 2
    assert said.count("the broker ended with status 2; starting it again") == 2


@contextlib.contextmanager
def ward(code: str, well: float = 0.0) -> Iterator[Ward]:
    made = Ward("child", lambda: [sys.executable, "-P", "-c", code], (), well)
    try:
        yield made
    finally:
        made.kill()
        made.await_end(5)


STOPPED = SimpleNamespace(monotonic=lambda: 1000.0)


def test_a_child_that_lived_is_back_at_once_and_one_that_did_not_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.host.ward.time", STOPPED)
    for well, delays in ((0.0, [0.1, 0.1, 0.1]), (60.0, [0.1, 0.2, 0.4])):
        with ward("", well) as child:
            met = []
            for _ in range(3):
                assert child.start()
                select.select([child], [], [])
                child.bury()
                met.append(round(child.due - STOPPED.monotonic(), 1))
            assert met == delays
            assert not child.lives


def test_a_program_that_is_not_there_is_a_sentence_and_tried_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.host.ward.time", STOPPED)
    child = Ward("child", lambda: ["/no/such/program"], (), 0.0)
    assert not child.start()
    assert child.due > STOPPED.monotonic()
    assert not child.lives
    assert "the child could not be started: No such file or directory; starting it again in 0.1 s" in capsys.readouterr().err


def test_a_child_that_takes_no_conversation_is_killed() -> None:
    with ward("import time; time.sleep(60)") as child:
        assert child.start()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            for _ in range(100_000):
                child.introduce(theirs)
                if select.select([child], [], [], 0)[0]:
                    break
        assert select.select([child], [], [], 5)[0]


def test_a_child_that_does_not_end_is_killed_and_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with ward(code) as child:
        assert child.start()
        child.terminate()
        child.await_end(0.0)
        assert not child.lives
    assert "the child did not end in time and is killed" in capsys.readouterr().err


def test_a_link_without_a_descriptor_to_spare_is_an_error_and_not_its_end() -> None:
    ours, theirs = link.make()
    with ours, theirs:
        ours.send(b"!")
        with pytest.raises(OSError, match="no descriptor is left"):
            link.take(theirs)
        ours.close()
        assert link.take(theirs) is None


ENDED_BY_ITS_LINK = """
    import os, sys, time
    from agent.host.ward import Ward
    code = (
        "import os, socket, sys; os.setresuid(65532, 65532, 65532);"
        "line = socket.socket(fileno=int(sys.argv[-1])); sys.exit(len(line.recv(1)))"
    )
    child = Ward("front", lambda: [sys.executable, "-P", "-c", code], (), 0.0)
    child.start()
    while os.stat(f"/proc/{child._pid}").st_uid != 65532:
        time.sleep(0.01)
    for act in (child.terminate, child.kill):
        try:
            act()
            print("done")
        except PermissionError:
            print("no right")
    child.await_end(5)
    print(child.lives)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start another user's process")
def test_a_front_of_another_user_is_ended_by_its_link_where_no_signal_may_be_sent() -> None:
    """As in the image, whose root may change no users and signal none: it lacks CAP_KILL."""
    argv = ["setpriv", "--bounding-set=-kill", "--inh-caps=-kill", sys.executable, "-c", textwrap.dedent(ENDED_BY_ITS_LINK)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout.splitlines() == ["no right", "done", "False"], done.stderr
