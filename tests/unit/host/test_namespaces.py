from pathlib import Path

import pytest

from agent.host import namespaces
from agent.host.errors import HostError, NamespaceGone


def test_our_own_namespace_is_not_among_the_others() -> None:
    found, _ = namespaces.scan(())
    assert namespaces.host_inode() not in found


def test_what_ip_netns_left_behind_is_no_namespace(tmp_path: Path) -> None:
    (tmp_path / "stale").write_text("")
    found, problems = namespaces.scan((str(tmp_path), str(tmp_path / "none")))
    assert not any(path.startswith(str(tmp_path)) for path in found.values())
    assert not any(str(tmp_path) in problem.what for problem in problems)


def test_a_path_that_leads_elsewhere_means_that_it_is_gone() -> None:
    with pytest.raises(NamespaceGone):
        namespaces.inside("/proc/self/ns/net", 1, lambda: None)
    with pytest.raises(NamespaceGone):
        namespaces.inside("/proc/self/ns/none", 1, lambda: None)


def test_what_cannot_be_entered_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(HostError, match="cannot be entered"):
        namespaces.inside(str(file), file.stat().st_ino, lambda: None)


def test_an_unreadable_directory_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    _, problems = namespaces.scan((str(tmp_path / "file"),))
    assert str(tmp_path / "file") in [problem.what for problem in problems]
