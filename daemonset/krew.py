"""The plugin for krew: an archive of the launcher and the license, and the manifest that names it by its digest. `make krew`.

python daemonset/krew.py DIRECTORY     # writes the archive there; the manifest is one of generate.py's files

The same input gives the same bytes, on every machine: files are stored and not compressed, because compressors differ, and have
no time or owner. What krew takes: kubernetes-sigs/krew internal/index/validation/validate.go and its developer guide.
"""

import io
import sys
import tomllib
import zipfile
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
NAME = "node-reach"
MANIFEST = HERE / "krew" / f"{NAME}.yaml"
HOME = "https://github.com/kubereach/kubereach"
# What each file of the archive is made of, and its mode.
FILES = {NAME: (HERE / "krew" / NAME, 0o755), "LICENSE": (ROOT / "LICENSE", 0o644)}
_UNIX = 3  # a zip's "version made by", so that modes count (APPNOTE 4.4.2)
_FIRST = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say

_TEXT = """\
# Made of daemonset/krew.py by `make manifests`; change it there. kubectl krew install --manifest=node-reach.yaml
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: {name}
spec:
  version: {version}
  homepage: {home}
  shortDescription: Find nodes whose kubelet their pods cannot reach
  description: |
    Shows every node's answer to one question: can its pods reach its kubelet, and if not, which firewall rule stops them?
    All nodes at once, whose rules differ from the others', who reaches whom, one node in full. It reads the objects that
    the agents of kubereach keep in the cluster or, with --from agents, asks the agents themselves.
  caveats: |
    Two things are needed beside this plugin:
    * kubereach on this workstation: pipx install git+{home}@{version}
    * its agents in the cluster: {home}/blob/main/docs/install.md
  platforms:
{platforms}"""
# Linux alone: kubereach's libraries for the node's half do not build elsewhere.
_PLATFORM = """\
    - selector:
        matchLabels:
          os: linux
          arch: {arch}
      uri: {home}/releases/download/{version}/{archive}
      sha256: {digest}
      bin: {name}
"""


def version() -> str:
    """The project's, as a tag."""
    return f"v{tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['version']}"


def archive_name() -> str:
    """The file's name at the release."""
    return f"kubectl-node_reach-{version()}.zip"


def archive() -> bytes:
    """The zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as packed:
        for name, (source, mode) in FILES.items():
            entry = zipfile.ZipInfo(name, _FIRST)
            entry.create_system, entry.external_attr = _UNIX, (0o100000 | mode) << 16
            packed.writestr(entry, source.read_text().replace("@VERSION@", version()))
    return buffer.getvalue()


def manifest() -> str:
    """The plugin manifest, with the digest of the archive."""
    known = {"name": NAME, "version": version(), "home": HOME}
    digest, name = sha256(archive()).hexdigest(), archive_name()
    platforms = "".join(_PLATFORM.format(arch=arch, digest=digest, archive=name, **known) for arch in ("amd64", "arm64"))
    return _TEXT.format(platforms=platforms, **known)


def main() -> int:
    """Returns the exit code."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    (directory / archive_name()).write_bytes(archive())
    sys.stdout.write(f"{directory / archive_name()}\n{MANIFEST.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
