"""The plugin for krew: a manifest that krew takes, an archive of the same bytes, and a launcher that finds kubereach."""

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest
import yaml

from tests.manifests.rendering import MANIFESTS, ROOT

PLUGIN = yaml.safe_load((MANIFESTS / "krew" / "node-reach.yaml").read_text())
SPEC = PLUGIN["spec"]
INSTALLED = Path(sys.executable).parent


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """As `make krew` builds it."""
    return build(tmp_path / "dist")


def build(directory: Path, **environment: str) -> Path:
    argv = [sys.executable, str(MANIFESTS / "krew.py"), str(directory)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env={**os.environ, **environment}, timeout=60)
    return Path(done.stdout.splitlines()[0])


@pytest.fixture
def plugin(archive: Path, tmp_path: Path) -> Path:
    """Unpacked into a directory with nothing else, under the name that krew links it by."""
    directory = tmp_path / "store"
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            path = Path(packed.extract(entry, directory))
            path.chmod(entry.external_attr >> 16 & 0o777)
    link = tmp_path / "bin" / "kubectl-node_reach"
    link.parent.mkdir()
    link.symlink_to(directory / SPEC["platforms"][0]["bin"])
    return link


def run(plugin: Path, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a clean directory and environment."""
    clean = {"PATH": f"{plugin.parent}:/usr/bin:/bin", "HOME": str(plugin.parent), **environment}
    return subprocess.run(
        [plugin, *argv], capture_output=True, text=True, check=False, env=clean, cwd=plugin.parent, timeout=60
    )


def test_krew_would_take_the_manifest() -> None:
    assert (PLUGIN["apiVersion"], PLUGIN["kind"]) == ("krew.googlecontainertools.github.com/v1alpha2", "Plugin")
    assert PLUGIN["metadata"] == {"name": "node-reach"}
    assert set(SPEC) <= {"version", "homepage", "shortDescription", "description", "caveats", "platforms"}
    assert re.fullmatch(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?", SPEC["version"])
    assert 0 < len(SPEC["shortDescription"]) <= 50
    assert "\n" not in SPEC["shortDescription"]
    assert SPEC["platforms"]
    for platform in SPEC["platforms"]:
        assert set(platform) == {"selector", "uri", "sha256", "bin"}
        assert set(platform["selector"]["matchLabels"]) == {"os", "arch"}
        assert re.fullmatch("[a-f0-9]{64}", platform["sha256"])
        assert re.fullmatch(rf"https://.*/{re.escape(SPEC['version'])}/[^/]+\.(zip|tar\.gz)", platform["uri"])
        assert not PurePosixPath(platform["bin"]).is_absolute()
        assert ".." not in PurePosixPath(platform["bin"]).parts
    chosen = [tuple(platform["selector"]["matchLabels"].values()) for platform in SPEC["platforms"]]
    assert len(set(chosen)) == len(chosen)


def test_the_manifest_names_this_archive_by_its_digest(archive: Path) -> None:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    for platform in SPEC["platforms"]:
        assert platform["sha256"] == digest, "run `make krew`"
        assert platform["uri"].endswith(f"/{archive.name}")
        with zipfile.ZipFile(archive) as packed:
            entry = packed.getinfo(platform["bin"])
            assert entry.external_attr >> 16 & 0o777 == 0o755
            assert packed.read("LICENSE") == (ROOT / "LICENSE").read_bytes()


def test_the_same_input_gives_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    again = build(tmp_path / "again", TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7")
    assert again.read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("how", ["KUBEREACH", "PATH", "pipx"])
def test_the_plugin_runs_the_kubereach_that_is_there(plugin: Path, how: str) -> None:
    environment = {
        "KUBEREACH": {"KUBEREACH": str(INSTALLED / "kubereach")},
        "PATH": {"PATH": f"{plugin.parent}:{INSTALLED}:/usr/bin:/bin"},
        "pipx": {"PIPX_BIN_DIR": str(INSTALLED)},
    }[how]
    done = run(plugin, "--help", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("report", "matrix", "explain", "run"):
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)
    assert "no cluster is configured" in run(plugin, "report", **environment).stderr


def test_without_kubereach_it_says_how_to_install_this_version(plugin: Path) -> None:
    done = run(plugin, "report")
    assert (done.returncode, done.stdout) == (5, "")
    assert f"pipx install git+https://github.com/kubereach/kubereach@{SPEC['version']}\n" in done.stderr
