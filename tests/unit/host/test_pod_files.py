import ctypes
import errno
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.host import pod_files
from agent.host.errors import HostError
from agent.host.namespaces import host_inode
from agent.host.pod_files import PodFileReader, read_inside


@pytest.fixture(params=["openat2", "before Linux 5.6"])
def kernel(request, monkeypatch):
    if request.param != "openat2":

        def missing(*_):
            ctypes.set_errno(errno.ENOSYS)
            return -1

        monkeypatch.setattr(pod_files, "_libc", SimpleNamespace(syscall=missing))
    return request.param


@pytest.fixture
def root(tmp_path: Path, kernel):
    (tmp_path / "pod/etc").mkdir(parents=True)
    (tmp_path / "pod/etc/resolv.conf").write_text("nameserver 10.96.0.10\n")
    (tmp_path / "secret").write_text("of the host")
    handle = os.open(tmp_path / "pod", os.O_PATH | os.O_DIRECTORY)
    yield handle
    os.close(handle)


def test_a_file_below_the_root_is_read(root):
    assert read_inside(root, "etc/resolv.conf") == "nameserver 10.96.0.10\n"


@pytest.mark.parametrize("name", ["etc/hosts", "no/such/folder", "etc/resolv.conf/x"])
def test_a_file_that_is_not_there_is_empty(root, name):
    assert read_inside(root, name) == ""


def test_an_absolute_link_leads_into_the_pods_root_and_not_into_the_hosts(root, tmp_path, kernel):
    (tmp_path / "pod/etc/hosts").symlink_to(tmp_path / "secret")
    assert read_inside(root, "etc/hosts") == ""
    (tmp_path / "pod/etc/linked").symlink_to("/etc/resolv.conf")
    assert read_inside(root, "etc/linked") == ("nameserver 10.96.0.10\n" if kernel == "openat2" else "")


def test_a_folder_that_is_a_link_leads_nowhere_outside(root, tmp_path):
    (tmp_path / "pod/var").symlink_to(tmp_path)
    assert read_inside(root, "var/secret") == ""


def test_a_link_cannot_climb_out_of_the_root(root, tmp_path):
    (tmp_path / "pod/etc/hosts").symlink_to("../../secret")
    assert read_inside(root, "etc/hosts") == ""


def test_a_magic_link_is_refused(root, tmp_path):
    (tmp_path / "pod/etc/hosts").symlink_to("/proc/self/root/etc/hostname")
    assert read_inside(root, "etc/hosts") == ""


def test_a_fifo_holds_nobody(root, tmp_path):
    os.mkfifo(tmp_path / "pod/etc/hosts")
    assert read_inside(root, "etc/hosts") == ""


def test_a_directory_is_no_file(root, tmp_path):
    (tmp_path / "pod/etc/hosts").mkdir()
    assert read_inside(root, "etc/hosts") == ""


def test_no_more_is_read_than_a_resolver_needs(root, tmp_path):
    (tmp_path / "pod/etc/hosts").write_text("x" * 1_000_000)
    assert len(read_inside(root, "etc/hosts")) == 256 * 1024


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
