"""agent.host.pod_files: whose files, and that one file system cannot hold the broker."""

import threading

import pytest

from agent.host import pod_files
from agent.host.errors import HostError
from agent.host.namespaces import host_inode
from agent.host.pod_files import PodFileReader


def test_the_hosts_own_namespace_is_no_pod():
    with pytest.raises(HostError, match="no pod"):
        PodFileReader().of_pod(host_inode())


def test_a_namespace_without_a_process_says_so():
    assert PodFileReader().of_pod(1).problem == "no process runs in this pod's network namespace"


def test_the_pause_container_is_read_only_where_there_is_no_other(monkeypatch):
    members = [(7, "pause"), (9, "metrics-server"), (12, "sidecar")]
    monkeypatch.setattr(pod_files, "_members", lambda _: iter(members))
    assert pod_files._process_in(5) == 9
    del members[1:]
    assert pod_files._process_in(5) == 7


def test_a_file_system_that_does_not_answer_costs_one_thread_only(monkeypatch):
    monkeypatch.setattr(pod_files, "_SECONDS", 0.01)
    reader, released = PodFileReader(), threading.Event()
    with pytest.raises(HostError, match="does not answer"):
        reader._patiently(released.wait, "a file")
    before = threading.active_count()
    with pytest.raises(HostError, match="read before does not answer"):
        reader._patiently(lambda: 1, "another")
    assert threading.active_count() == before
    released.set()
