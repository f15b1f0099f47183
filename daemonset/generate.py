"""Writes what is made of other files: install.yaml, krew's manifest, the chart's copies. `make manifests` runs it.

python daemonset/generate.py           # writes
python daemonset/generate.py --check   # only says what would change; exit code 1 where something would
"""

import sys
from pathlib import Path

import krew

HERE = Path(__file__).parent
BASE = HERE / "base"
# In the order in which an API server needs them; the overlay read-only is the base and nothing else (a test holds that).
PARTS = ("namespace.yaml", "crd.yaml", "serviceaccount.yaml", "rbac.yaml", "daemonset.yaml")
HEAD = (
    "# kubereach, reading only: kubectl apply -f install.yaml. Made of daemonset/base by `make manifests`; change it there.\n"
)


def made() -> dict[Path, str]:
    """Every generated file with what is to stand in it."""
    return {
        HERE / "install.yaml": HEAD + "".join(f"---\n{(BASE / part).read_text()}" for part in PARTS),
        HERE / "chart" / "crds" / "crd.yaml": (BASE / "crd.yaml").read_text(),
        HERE / "chart" / "files" / "prometheusrule.yaml": (HERE / "monitoring" / "prometheusrule.yaml").read_text(),
        HERE / "chart" / "files" / "dashboard.json": (HERE / "monitoring" / "dashboard.json").read_text(),
        krew.MANIFEST: krew.manifest(),
    }


def main() -> int:
    """Returns the exit code."""
    stale = [path for path, text in made().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        sys.stdout.write(f"{path.relative_to(HERE.parent)}\n")
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made()[path])
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    raise SystemExit(main())
