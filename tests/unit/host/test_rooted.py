"""agent.host.rooted: links stay inside, with openat2 and without; what is no file is not read, and nothing stays open."""

import ctypes
import errno
import os
import socket
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.host import rooted
from agent.host.rooted import names_inside, read_inside, root_of

LIMIT = 1000
NAMESERVER = b"nameserver 10.96.0.10\n"
read = partial(read_inside, limit=LIMIT)


@pytest.fixture(params=[0, errno.ENOSYS, errno.EPERM], ids=["openat2", "before Linux 5.6", "an old seccomp profile"])
def kernel(request, monkeypatch):
    if request.param:

        def missing(*_):
            ctypes.set_errno(request.param)
            return -1

        monkeypatch.setattr(rooted, "_libc", SimpleNamespace(syscall=missing))
    return request.param


@pytest.fixture
def root(tmp_path: Path, kernel):
    (tmp_path / "pod/etc").mkdir(parents=True)
    (tmp_path / "pod/etc/resolv.conf").write_bytes(NAMESERVER)
    (tmp_path / "secret").write_text("of the host")
    handle = os.open(tmp_path / "pod", os.O_PATH | os.O_DIRECTORY)
    yield handle
    os.close(handle)


def test_a_file_below_the_root_is_read(root):
    assert read(root, "etc/resolv.conf") == NAMESERVER


@pytest.mark.parametrize("name", ["etc/hosts", "no/such/folder", "etc/resolv.conf/x"])
def test_a_file_that_is_not_there_is_empty(root, name):
    assert read(root, name) is None


def test_an_absolute_link_leads_into_the_pods_root_and_not_into_the_hosts(root, tmp_path):
    (tmp_path / "pod/etc/hosts").symlink_to(tmp_path / "secret")
    assert read(root, "etc/hosts") is None
    (tmp_path / "pod/etc/linked").symlink_to("/etc/resolv.conf")
    assert read(root, "etc/linked") == NAMESERVER


def test_a_folder_that_is_a_link_leads_nowhere_outside(root, tmp_path):
    (tmp_path / "pod/var").symlink_to(tmp_path)
    assert read(root, "var/secret") is None


def test_a_link_cannot_climb_out_of_the_root(root, tmp_path):
    (tmp_path / "pod/etc/hosts").symlink_to("../../secret")
    assert read(root, "etc/hosts") is None


def test_a_magic_link_is_refused(root, tmp_path):
    (tmp_path / "pod/etc/hosts").symlink_to("/proc/self/root/etc/hostname")
    assert read(root, "etc/hosts") is None


def test_a_fifo_holds_nobody(root, tmp_path):
    os.mkfifo(tmp_path / "pod/etc/hosts")
    assert read(root, "etc/hosts") is None


def test_a_directory_is_no_file(root, tmp_path):
    (tmp_path / "pod/etc/hosts").mkdir()
    assert read(root, "etc/hosts") is None


def test_no_more_is_read_than_the_limit(root, tmp_path):
    (tmp_path / "pod/etc/hosts").write_text("x" * 100_000)
    assert len(read(root, "etc/hosts")) == LIMIT


def test_a_socket_is_no_file(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's name has room for 107 characters
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("pod/etc/hosts")
        assert read(root, "etc/hosts") is None


def test_a_link_upon_links_is_followed_from_where_it_lies(root, tmp_path):
    """As distributions have them: a directory that is one, relative ones, one through another."""
    (tmp_path / "pod/etc/static").symlink_to("/store/1/etc")
    (tmp_path / "pod/store/1/etc/cni").mkdir(parents=True)
    (tmp_path / "pod/store/1/etc/cni/10-x.conf").symlink_to("../../../../etc/./cni.conf")
    (tmp_path / "pod/etc/cni.conf").write_text("{}")
    (tmp_path / "pod/etc/cni").symlink_to("static//cni")
    assert names_inside(root, "/etc/cni") == ("10-x.conf",)
    assert read(root, "/etc/cni/10-x.conf") == b"{}"


def test_a_link_in_a_circle_leads_nowhere(root, tmp_path):
    (tmp_path / "pod/etc/hosts").symlink_to("hosts")
    assert read(root, "etc/hosts") is None
    assert names_inside(root, "etc/hosts") == ()


def test_the_names_of_a_directory_are_in_order(root, tmp_path):
    (tmp_path / "pod/etc/alpha").touch()
    assert names_inside(root, "etc") == ("alpha", "resolv.conf")
    assert names_inside(root, "etc/resolv.conf") == ()
    assert names_inside(root, "no/such") == ()


def test_what_may_not_be_read_is_an_error(root, monkeypatch):
    def refused(*_):
        ctypes.set_errno(errno.EACCES)
        return -1

    monkeypatch.setattr(rooted, "_libc", SimpleNamespace(syscall=refused))
    with pytest.raises(PermissionError):
        read(root, "etc/hosts")


def descriptors():
    return {each.name for each in Path("/proc/self/fd").iterdir()}


def test_nothing_stays_open(root, tmp_path):
    (tmp_path / "pod/etc/hosts").symlink_to("hosts")
    before = descriptors()
    for name in ("etc/resolv.conf", "/etc/../etc/resolv.conf", "etc/hosts", "etc/resolv.conf/x", "../../etc", "no"):
        read(root, name)
        names_inside(root, name)
    assert descriptors() == before


def test_the_root_of_a_process():
    with root_of(Path("/proc/self")) as own:
        assert read(own, __file__) == Path(__file__).read_bytes()[:LIMIT]
    with pytest.raises(FileNotFoundError), root_of(Path("/proc/0")):
        pass
