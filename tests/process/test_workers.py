import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.host.memory_limit import Left
from agent.host.room import MIB, Room
from agent.host.template import Template
from agent.host.workers import PROCESSES, WorkerError, Workers
from agent.model.capture import Processes

# A worker whose job is to say who it is, or to do what the test wants.
TRY = """
import os, signal, sys, threading, time
from agent.host import job
def work(asked):
    if "fail" in asked:
        raise ValueError(asked["fail"])
    if "kill" in asked:
        os.kill(os.getpid(), asked["kill"])
    if "sleep" in asked:
        print(os.getpid(), file=open(asked["file"], "w"), flush=True)
        time.sleep(asked["sleep"])
    if "print" in asked:
        print("x" * asked["print"])
        os.write(2, b"y" * asked["print"])
    if "huge" in asked:
        return ["z" * asked["huge"]]
    held = sorted(os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in os.listdir("/proc/self/fd")
                  if os.path.exists(f"/proc/self/fd/{fd}"))
    return [str(os.getpid()), str(os.getppid()), str(threading.active_count()), " ".join(held), str(len(asked.get("long", "")))]
job.serve(work)
"""
Said = tuple[str, ...]


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers()
    yield made
    made.close()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "try_worker.py").write_text(TRY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "try_worker"


def template(workers: Workers, module: str) -> Template:
    return workers._templates[module]


def until(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def ended(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def descriptors() -> int:
    """Those that are held; what only waits for the collector, a test's before, is not."""
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def files() -> set[str]:
    """What the descriptors lead to. Of two looks the second shows what was opened between; what a test before still had to
    close may go at any time.
    """
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the directory that is being read
            found.add(str(entry.readlink()))
    return found


def test_a_worker_answers_with_a_value(workers: Workers) -> None:
    assert isinstance(workers.ask(PROCESSES, {}, Processes).listeners, tuple)


class Limit:
    """A memory limit that leaves so many bytes, whatever is taken."""

    def __init__(self, left: int) -> None:
        self._left = Left(left, 80 * MIB)

    def left(self) -> Left:
        return self._left


def test_a_worker_that_does_not_fit_is_not_started_and_says_so() -> None:
    workers = Workers(Room(Limit(10 * MIB)))  # type: ignore[arg-type]
    workers.warm(PROCESSES)
    with pytest.raises(
        WorkerError, match=r"was not started: there is no room for it: it takes 15 MiB, and of our memory limit"
    ):
        workers.ask(PROCESSES, {}, Processes)
    assert workers._templates == {}


def test_one_that_has_nothing_to_do_makes_room_for_another(module: str) -> None:
    workers = Workers(Room(Limit(25 * MIB)))  # type: ignore[arg-type]
    try:
        workers.ask(module, {}, Said)
        first = template(workers, module)
        workers.warm(PROCESSES)
        assert set(workers._templates) == {module}, "nobody is ended for what is not needed yet"
        assert workers.ask(PROCESSES, {}, Processes).listeners is not None
        assert first.last_words() is not None
        assert set(workers._templates) == {PROCESSES}
        assert workers.ask(module, {}, Said)
    finally:
        workers.close()


def test_one_at_work_is_not_ended_for_another(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.host.room._PATIENCE", 0.3)
    workers, file = Workers(Room(Limit(25 * MIB))), tmp_path / "pid"  # type: ignore[arg-type]
    heard: list[Said] = []
    asking = threading.Thread(target=lambda: heard.append(workers.ask(module, {"sleep": 1, "file": str(file)}, Said)))
    try:
        asking.start()
        assert until(file.exists)
        with pytest.raises(WorkerError, match="no room"):
            workers.ask(PROCESSES, {}, Processes)
        asking.join()
        assert len(heard) == 1
    finally:
        workers.close()


def test_each_job_has_a_process_of_its_own_whose_parent_is_the_one_template(workers: Workers, module: str) -> None:
    answers = [workers.ask(module, {}, Said) for _ in range(3)]
    assert len({answer[0] for answer in answers}) == 3
    assert {int(answer[1]) for answer in answers} == {template(workers, module).pid}
    assert all(ended(int(answer[0])) for answer in answers)


def test_a_dead_template_is_forgotten_before_anybody_hears_of_its_end(module: str) -> None:
    class Slow(Workers):
        def _forget(self, template: Template) -> None:
            time.sleep(0.3)  # whoever waits for the end has long asked again
            super()._forget(template)

    workers = Slow()
    workers.ask(module, {}, Said)
    os.kill(template(workers, module).pid, signal.SIGKILL)
    assert workers.ask(module, {}, Said)
    workers.close()


def test_a_worker_holds_no_descriptor_but_its_own(workers: Workers, module: str) -> None:
    _, _, threads, held, _ = workers.ask(module, {}, Said)
    # The input, which nobody writes to; output and errors; the job; and the directory in which it looks.
    assert [word for word in held.split() if word != "/proc"] in (["pipe", "pipe", "pipe", "socket"],), held
    assert threads == "1"


def test_a_job_of_any_size_arrives_whole(workers: Workers, module: str) -> None:
    assert workers.ask(module, {"long": "x" * 3_000_000}, Said)[4] == "3000000"
    assert len(workers.ask(module, {"huge": 3_000_000}, Said)[0]) == 3_000_000


def test_jobs_of_several_threads_run_side_by_side_in_one_template(workers: Workers, module: str, tmp_path: Path) -> None:
    answers: list[Said] = []
    slow = {"sleep": 0.3, "file": "/dev/null"}
    threads = [threading.Thread(target=lambda: answers.append(workers.ask(module, slow, Said))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer[0] for answer in answers}) == 4
    assert len({answer[1] for answer in answers}) == 1
    # Nobody holds a descriptor of a sibling.
    assert {len(answer[3].split()) for answer in answers} == {len(answers[0][3].split())}


def test_what_a_worker_raises_is_told_and_does_not_hurt_the_template(workers: Workers, module: str) -> None:
    before = workers.ask(module, {}, Said)[1]
    with pytest.raises(WorkerError, match="ended with status 1: ValueError: no such table"):
        workers.ask(module, {"fail": "no such table"}, Said)
    assert workers.ask(module, {}, Said)[1] == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_killed_in_the_middle_is_a_typed_problem_and_does_not_hurt_the_template(
    workers: Workers, module: str, number: int
) -> None:
    before = workers.ask(module, {}, Said)[1]
    with pytest.raises(WorkerError, match=f"ended with status -{int(number)}"):
        workers.ask(module, {"kill": number}, Said)
    assert workers.ask(module, {}, Said)[1] == before


def test_a_worker_that_is_stuck_is_killed_and_its_template_is_not(
    workers: Workers, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = workers.ask(module, {}, Said)[1]
    monkeypatch.setattr("agent.host.workers._DEADLINE", 0.3)
    with pytest.raises(WorkerError, match="did not end in time"):
        workers.ask(module, {"sleep": 60, "file": str(tmp_path / "pid")}, Said)
    assert ended(int((tmp_path / "pid").read_text()))
    monkeypatch.undo()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert workers.ask(module, {}, Said)[1] == before


def test_a_worker_that_says_too_much_is_killed(workers: Workers, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.host.workers._ANSWER_LIMIT", 100_000)
    with pytest.raises(WorkerError, match="answered more than 100000 bytes"):
        workers.ask(module, {"huge": 1_000_000}, Said)
    with pytest.raises(WorkerError, match="answered more than 100000 bytes"):
        workers.ask(module, {"print": 1_000_000}, Said)
    assert workers.ask(module, {}, Said)


def test_prints_of_a_library_are_not_the_answer(workers: Workers, module: str) -> None:
    for _ in range(3):
        assert len(workers.ask(module, {"print": 100_000}, Said)) == 5


def test_a_template_that_died_is_replaced(workers: Workers, module: str) -> None:
    workers.warm(module)
    pid = template(workers, module).pid
    os.kill(pid, signal.SIGKILL)
    assert workers.ask(module, {}, Said)[1] != str(pid)
    assert ended(pid)


def test_a_template_that_dies_in_the_middle_takes_its_worker_along(workers: Workers, module: str, tmp_path: Path) -> None:
    file = tmp_path / "pid"

    def kill() -> None:
        assert until(lambda: file.exists() and file.read_text() != "")
        os.kill(template(workers, module).pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(WorkerError, match="ended with its template"):
        workers.ask(module, {"sleep": 60, "file": str(file)}, Said)
    killer.join()
    assert until(lambda: ended(int(file.read_text())))
    assert workers.ask(module, {}, Said)


def test_a_template_that_is_stuck_is_killed(workers: Workers, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = int(workers.ask(module, {}, Said)[1])
    os.kill(before, signal.SIGSTOP)
    monkeypatch.setattr("agent.host.workers._DEADLINE", 0.1)
    with pytest.raises(WorkerError, match="did not end in time"):
        workers.ask(module, {}, Said)
    assert ended(before)


def test_a_template_that_nobody_asks_ends_and_the_next_job_starts_another(
    workers: Workers, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.host.workers._IDLE", 0.05)
    first = int(workers.ask(module, {}, Said)[1])
    assert until(lambda: ended(first) and module not in workers._templates)
    monkeypatch.setattr("agent.host.workers._IDLE", 60.0)
    assert workers.ask(module, {}, Said)[1] != str(first)


def test_jobs_at_the_very_end_of_a_template_are_done_all_the_same(
    workers: Workers, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.host.workers._IDLE", 0.001)
    assert len({workers.ask(module, {}, Said)[0] for _ in range(5)}) == 5


def test_the_last_words_of_a_worker_that_cannot_start_are_told(workers: Workers) -> None:
    with pytest.raises(WorkerError, match=r"ended with status 1: .*No module named"):
        workers.ask("agent.host.no_such_worker", {}, Processes)


def test_a_template_that_ends_again_and_again_is_a_typed_problem(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mad_worker.py").write_text("import os; os.kill(os.getpid(), 9)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WorkerError, match="ended twice before it began"):
        workers.ask("mad_worker", {}, Said)


def test_an_answer_of_another_shape_is_refused(workers: Workers) -> None:
    with pytest.raises(WorkerError, match="not understood"):
        workers.ask(PROCESSES, {}, tuple[int, ...])


def test_closing_leaves_no_process_and_no_descriptor(module: str) -> None:
    before, workers = descriptors(), Workers()
    pids = []
    for name, kind in ((module, Said), (PROCESSES, Processes)):
        workers.ask(name, {}, kind)
        pids.append(template(workers, name).pid)
    workers.warm("json.tool")  # that one is still on its way
    workers.close()
    assert all(ended(pid) for pid in pids)
    assert until(lambda: descriptors() == before)


def test_200_jobs_leave_nothing(workers: Workers, module: str) -> None:
    inner = int(workers.ask(module, {}, Said)[1])
    theirs = Path(f"/proc/{inner}/fd")
    before = descriptors(), sum(1 for _ in theirs.iterdir()), threading.active_count()
    for number in range(200):
        job: dict[str, Any] = {"fail": "x"} if number % 10 == 0 else {}
        if job:
            with pytest.raises(WorkerError):
                workers.ask(module, job, Said)
        else:
            workers.ask(module, job, Said)
    assert int(workers.ask(module, {}, Said)[1]) == inner
    assert (descriptors(), sum(1 for _ in theirs.iterdir()), threading.active_count()) == before
    assert Path(f"/proc/{inner}/task/{inner}/children").read_text() == ""


def test_a_worker_that_cannot_be_started_for_want_of_processes_says_so(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> SimpleNamespace:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("agent.host.template.command.spawn", refuse)
    before = files()
    workers.warm(PROCESSES)
    with pytest.raises(WorkerError, match="could not be started: Resource temporarily unavailable"):
        workers.ask(PROCESSES, {}, Processes)
    assert files() - before == set()
