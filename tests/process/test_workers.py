import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host.workers import PROCESSES, WorkerError, Workers
from agent.model.capture import Processes


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(keep=False)
    yield made
    made.close()


def test_a_worker_answers_with_a_value(workers: Workers) -> None:
    assert isinstance(workers.ask(PROCESSES, {}, Processes).listeners, tuple)


def test_a_spare_is_used_once_and_replaced_when_kept() -> None:
    workers = Workers(keep=True)
    workers.warm(PROCESSES)
    first = workers._spares[PROCESSES][0]
    workers.ask(PROCESSES, {}, Processes)
    second = workers._spares[PROCESSES][0]
    assert first.status == 0
    assert second is not first
    workers.close()
    assert second.status is not None


def test_a_spare_that_died_is_replaced(workers: Workers) -> None:
    workers.warm(PROCESSES)
    child = workers._spares[PROCESSES][0]
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(5)
    workers.ask(PROCESSES, {}, Processes)


def test_a_worker_killed_in_the_middle_is_a_typed_problem(workers: Workers) -> None:
    workers.warm(PROCESSES)
    pid = workers._spares[PROCESSES][0].pid
    os.kill(pid, signal.SIGSTOP)
    killer = threading.Timer(0.1, os.kill, (pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(WorkerError, match="ended with status -9"):
        workers.ask(PROCESSES, {}, Processes)
    killer.join()


def test_a_worker_that_is_stuck_is_killed(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.host.workers._DEADLINE", 0.1)
    workers.warm(PROCESSES)
    pid = workers._spares[PROCESSES][0].pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(WorkerError, match="did not end in time"):
        workers.ask(PROCESSES, {}, Processes)
    assert not Path(f"/proc/{pid}").exists()


def test_a_spare_that_nobody_uses_ends(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.host.workers._SPARE_LIFE", 0.05)
    workers.warm(PROCESSES)
    child = workers._spares[PROCESSES][0]
    assert child.wait(5)
    assert PROCESSES not in workers._spares


def test_the_last_words_of_a_worker_that_cannot_start_are_told(workers: Workers) -> None:
    with pytest.raises(WorkerError, match=r"ended with status 1: .*No module named"):
        workers.ask("agent.host.no_such_worker", {}, Processes)


def test_an_answer_of_another_shape_is_refused(workers: Workers) -> None:
    with pytest.raises(WorkerError, match="not understood"):
        workers.ask(PROCESSES, {}, tuple[int, ...])
