"""agent.host.saved_rules: the firewall files of a node, and what is said of those that cannot be read."""

from pathlib import Path

from agent.host import saved_rules
from agent.model.capture import Problem


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_files_that_are_there_are_read_and_the_others_are_no_problem(tmp_path: Path) -> None:
    rules = put(tmp_path / "iptables" / "rules.v4", "*filter\nCOMMIT\n")
    zone = put(tmp_path / "firewalld" / "zones" / "trusted.xml", "<zone/>")
    put(tmp_path / "passwd", "nobody's business")
    problems: list[Problem] = []
    found = saved_rules.capture((str(tmp_path), str(tmp_path / "no-such")), problems)
    assert [(file.path, file.text) for file in found] == [(str(rules), "*filter\nCOMMIT\n"), (str(zone), "<zone/>")]
    assert problems == []


def test_a_file_that_is_too_large_is_a_problem_and_not_half_a_file(tmp_path: Path) -> None:
    put(tmp_path / "nftables.conf", "#" * (256 * 1024 + 1))
    problems: list[Problem] = []
    assert saved_rules.capture((str(tmp_path),), problems) == ()
    assert [problem.why for problem in problems] == ["cannot be read: it is larger than 262144 bytes"]


def test_a_directory_in_a_files_place_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "nftables.conf").mkdir()
    problems: list[Problem] = []
    assert saved_rules.capture((str(tmp_path),), problems) == ()
    assert [problem.what for problem in problems] == [str(tmp_path / "nftables.conf")]


def test_bytes_that_are_no_text_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "nftables.conf"
    path.write_bytes(b"\xff# old\n")
    (file,) = saved_rules.capture((str(tmp_path),), [])
    assert file.text.encode("utf-8", "surrogateescape") == b"\xff# old\n"
