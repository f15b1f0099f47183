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
