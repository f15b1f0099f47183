"""agent.host.memory_limit: which cgroup's limit counts, of either version, seen from a host or from a container."""

from pathlib import Path

import pytest

from agent.host.memory_limit import Left, find

MIB = 1024 * 1024
NEW = "41 31 0:33 {root} {mount} rw,relatime - cgroup2 cgroup2 rw"
OLD = "35 31 0:32 {root} {mount} rw,relatime - cgroup cgroup rw,memory"
CPU = "32 31 0:29 / {mount} rw,relatime - cgroup cgroup rw,cpu,cpuacct"


def new(place, limit, used, stat=""):
    place.mkdir(parents=True, exist_ok=True)
    (place / "memory.max").write_text(f"{limit}\n")
    (place / "memory.current").write_text(f"{used}\n")
    (place / "memory.stat").write_text(stat)


def old(place, limit, used, stat=""):
    place.mkdir(parents=True, exist_ok=True)
    (place / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (place / "memory.usage_in_bytes").write_text(f"{used}\n")
    (place / "memory.stat").write_text(stat)


def process(tmp_path, groups, mounts):
    own = tmp_path / "proc"
    own.mkdir()
    (own / "cgroup").write_text(groups)
    (own / "mountinfo").write_text(f"24 1 8:1 / / rw - ext4 /dev/a rw\n{mounts}")
    return find(own)


def test_a_container_of_version_2_has_its_own_tree(tmp_path):
    mount = tmp_path / "fs"
    new(mount, 100 * MIB, 60 * MIB, f"anon 1\ninactive_file {5 * MIB}\nactive_file {2 * MIB}\nslab_reclaimable {MIB}\n")
    found = process(tmp_path, "0::/\n", NEW.format(root="/", mount=mount))
    assert found.left() == Left(48 * MIB, 100 * MIB)


def test_the_tightest_limit_of_all_ancestors_counts(tmp_path):
    mount = tmp_path / "fs"
    new(mount / "pods" / "pod1", 90 * MIB, 80 * MIB)
    new(mount / "pods" / "pod1" / "agent", 50 * MIB, 30 * MIB)
    new(mount / "pods", "max", 500 * MIB)
    found = process(tmp_path, "0::/pods/pod1/agent\n", NEW.format(root="/", mount=mount))
    assert found.left() == Left(10 * MIB, 90 * MIB)


@pytest.mark.parametrize("root", ["/", "/kubepods/abc", "/../.."])
def test_version_1_by_the_mount_of_its_controller(tmp_path, root):
    mount = tmp_path / "memory"
    old(mount / "kubepods" / "abc" if root == "/" else mount, 100 * MIB, 70 * MIB, f"total_inactive_file {4 * MIB}\n")
    mounts = (
        f"{CPU.format(mount=tmp_path / 'cpu')}\n{OLD.format(root=root, mount=mount)}\n{NEW.format(root='/', mount=tmp_path)}"
    )
    found = process(tmp_path, "5:cpu,cpuacct:/kubepods/abc\n4:memory:/kubepods/abc\n0::/\n", mounts)
    assert found.left() == Left(34 * MIB, 100 * MIB)


@pytest.mark.parametrize("limit", ["9223372036854771712", "rubbish"])
def test_no_limit_is_none(tmp_path, limit):
    old(tmp_path / "memory", limit, 70 * MIB)
    found = process(tmp_path, "4:memory:/\n", OLD.format(root="/", mount=tmp_path / "memory"))
    assert found.left() is None


def test_without_cgroups_there_is_no_limit(tmp_path):
    assert process(tmp_path, "", "").left() is None
    assert find(Path("/nowhere")).places == ()
