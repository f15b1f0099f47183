from pathlib import Path

from agent.host import namespaces, node
from agent.model.settings import Settings


def look(*directories: Path) -> node.Node:
    settings = Settings(cni_dirs=tuple(map(str, directories)), netns_dirs=())
    return node.capture(settings, namespaces.Directory(()))


def test_cni_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("20-b.conflist", "10-a.conf", "README", "30-c.json"):
        (tmp_path / name).write_bytes(name.encode() + b"\xff")
    found = look(tmp_path, tmp_path / "missing")
    assert [Path(file.path).name for file in found.cni_files] == ["10-a.conf", "20-b.conflist", "30-c.json"]
    assert found.cni_files[0].text == "10-a.conf\udcff"
    assert found.hostname
    assert found.interfaces[0].name == "lo"


def test_files_that_cannot_be_read_are_problems(tmp_path: Path) -> None:
    (tmp_path / "huge.conf").write_bytes(b"x" * 300_000)
    (tmp_path / "loop.conf").symlink_to(tmp_path / "loop.conf")
    (tmp_path / "directory.conf").mkdir()
    found = look(tmp_path, tmp_path / "huge.conf")
    told = {Path(problem.what).name: problem.why for problem in found.problems if str(tmp_path) in problem.what}
    assert set(told) == {"huge.conf", "loop.conf", "directory.conf"}
    assert found.cni_files == ()
