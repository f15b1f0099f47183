import os
from pathlib import Path

import pytest

from agent.host import privilege
from agent.host.privilege import _is_mapped, _open_to_others


def test_capabilities_are_read_as_a_mask() -> None:
    assert privilege.capabilities("CapEff") & ~privilege.capabilities("CapPrm") == 0
    with pytest.raises(OSError, match="CapNone"):
        privilege.capabilities("CapNone")


@pytest.mark.parametrize(
    ("table", "mapped"),
    [("         0          0 4294967295\n", True), ("0 1000 1\n", False), ("0 1000 1\n1 100000 65536\n", True), ("", False)],
)
def test_a_user_exists_where_the_map_has_it(table: str, mapped: bool) -> None:
    assert _is_mapped(table, privilege.NOBODY) is mapped


def test_a_path_is_open_to_others_only_through_open_directories(tmp_path: Path) -> None:
    shared = Path("/usr/bin/env")
    assert _open_to_others(shared)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "file").write_text("")
    (closed / "file").chmod(0o644)
    assert not _open_to_others(closed / "file")
    (tmp_path / "link").symlink_to(closed / "file")
    assert not _open_to_others(tmp_path / "link")


def test_the_front_keeps_our_user_where_we_are_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert privilege.front_user() == (1000, "only root can change the user")


def test_an_interpreter_of_the_fronts_user_is_the_way_down(tmp_path: Path) -> None:
    path = tmp_path / f"python-{privilege.NOBODY}"
    assert privilege.way_down(tmp_path) == ""
    path.write_text("")
    path.chmod(0o6755)
    assert privilege.way_down(tmp_path) == ""  # it belongs to us: starting it leads nowhere


def test_root_that_cannot_change_users_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(privilege, "_open_to_others", lambda _: True)
    monkeypatch.setattr(privilege, "_is_mapped", lambda *_: True)
    monkeypatch.setattr(privilege, "capabilities", lambda *_: 1 << privilege.SYS_ADMIN)
    user, why = privilege.front_user()
    assert (user, "SETUID" in why) == (0, True)
    monkeypatch.setattr(privilege, "way_down", lambda: "/opt/python-65532")
    assert privilege.front_user() == (privilege.NOBODY, "")
    assert privilege.launcher(privilege.NOBODY) == "/opt/python-65532"


def test_groups_that_cannot_be_left_stop_the_front(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setgroups", refused)
    monkeypatch.setattr(os, "getgroups", lambda: [privilege.NOBODY])
    privilege._leave_groups(privilege.NOBODY)
    monkeypatch.setattr(os, "getgroups", lambda: [0, privilege.NOBODY])
    with pytest.raises(OSError, match=r"groups \[0\]"):
        privilege._leave_groups(privilege.NOBODY)
