"""agent.host.phantom.makers: whose namespace it is, and that it stays."""

import os
from dataclasses import replace
from pathlib import Path

from agent.host.phantom import makers


def test_while_its_maker_lives_the_path_leads_to_its_namespace():
    with makers.namespace(makers.myself()) as path:
        assert Path(path).stat().st_ino == Path("/proc/self/ns/net").stat().st_ino
        assert path != makers.myself().netns, "a path of our own, which no end of the maker takes away"
    assert not Path(path).exists(), "nothing stays open"


def test_another_process_with_its_number_is_a_stranger():
    earlier = replace(makers.myself(), started=makers.myself().started - 1)
    with makers.namespace(earlier) as path:
        assert path == ""


def test_of_a_process_that_ended_nothing_is_left():
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writes, str(makers.myself().started).encode())
        os._exit(0)
    maker = makers.Maker(child, int(os.read(reads, 32)))
    os.close(reads)
    os.close(writes)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    with makers.namespace(maker) as path:
        assert path == "", "a zombie has no namespace"
    os.waitpid(child, 0)
    with makers.namespace(maker) as path:
        assert path == ""
