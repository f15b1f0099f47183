"""The long runs, each in labs of its own: `python -m tests.lab.fixing kill-matrix [RUNS]`, `lost-updates [WRITES]`, `faults`.

The exit code is 1 where any run of ours was not as it has to be.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

MUST_BE_NOUGHT = {
    "restarts": ("fix lost", "pod stopped", "front with a capability", "front not kept", "residue"),
    "reverting": ("still open", "residue", "not told", "later than 5 s"),
    "operators": ("more than one rule", "more than one id", "audit differs", "lost", "foreign rules changed"),
}
LABS = 4  # for each backend: they sleep most of the time
BACKENDS = ("legacy", "nft")
# By IP version: a REJECT at the end of INPUT.
INCIDENTS = {4: "centos-reject", 6: "ipv6-reject"}


def in_lab(module: str, backend: str, *words: object, version: int = 4, timeout: float = 3600) -> dict[str, Any]:
    """What a module of this package says of its run on the node of a lab whose pods have that IP version."""
    lab = [sys.executable, "-P", "-m", "agent.cli.app", "lab", "run", INCIDENTS[version], "--backend", backend, "--"]
    argv = [*lab, sys.executable, "-m", f"tests.lab.fixing.{module}", backend, *map(str, words)]
    environment = {**os.environ, "KUBEREACH_LAB_IP": str(version)}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def kill_matrix(runs: int, peers: int, labs: int = LABS) -> tuple[dict[str, int], dict[str, int]]:
    """Sums over both backends, and of ours over both IP versions: of ours, and of iptables-apply's."""
    share = -(-runs // (labs * len(BACKENDS)))
    with ThreadPoolExecutor(labs * len(BACKENDS)) as pool:
        mine = [
            pool.submit(in_lab, "kill_matrix", backend, share, seed, version=6 if seed % 2 else 4)
            for backend in BACKENDS
            for seed in range(labs)
        ]
        ours = _sum([future.result() for future in mine])
        theirs = [pool.submit(in_lab, "iptables_apply", backend, -(-peers // 2), 1) for backend in BACKENDS]
        return ours, _sum([future.result() for future in theirs])


def table(ours: dict[str, int], theirs: dict[str, int]) -> str:
    """Both rows."""
    names = ("runs", "pod got through", "late", "residue")
    rows = [("", *names), ("kubereach", *(ours[name] for name in names))]
    rows.append(("iptables-apply", *(theirs.get(name, "-") for name in names)))
    return "\n".join("  ".join(str(cell).ljust(16) for cell in row).rstrip() for row in rows)


def _sum(found: list[dict[str, Any]]) -> dict[str, int]:
    names = [name for name, value in found[0].items() if not isinstance(value, str)]
    return {name: sum(len(item[name]) if isinstance(item[name], list) else item[name] for item in found) for name in names}


def main() -> int:
    """Runs what the first word names."""
    what, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    if what == "kill-matrix":
        ours, theirs = kill_matrix(count or 1000, 100)
        print("SIGKILL at random moments, nobody left alive: did the pod get through after the lease and one second?")
        print(table(ours, theirs))
        return 1 if ours["late"] or ours["residue"] or ours["runs"] < (count or 1000) else 0
    if what == "lost-updates":
        lost = 0
        for backend in BACKENDS:
            for writer in ("kubereach", "python-iptables") if backend == "legacy" else ("kubereach",):
                for version in INCIDENTS if writer == "kubereach" else (4,):
                    writes = (count or 10000) // len(INCIDENTS) if writer == "kubereach" else 500
                    found = in_lab("lost_updates", backend, writes, writer, version=version)
                    print(f"{backend:8}IPv{version} {writer:17}{json.dumps(found)}", flush=True)
                    lost += (found["foreign lost"] + found["ours lost"]) if writer == "kubereach" else 0
        return 1 if lost else 0
    if what == "faults":
        return 0 if sum(held(backend) for backend in BACKENDS) == len(BACKENDS) else 1
    print(__doc__)
    return 2


def held(backend: str) -> bool:
    """Every case at its full count, restarts, crowds, a pod with many rules: prints what was seen; whether all of it held."""
    os.environ["KUBEREACH_FULL"] = "1"
    failed: dict[str, str] = {}
    for version in INCIDENTS:
        cases = in_lab("cases", backend, version=version)
        found = {name: why for name, why in cases.items() if why}
        print(
            f"{backend:8}cases, IPv{version}      {len(cases)} run, {len(found)} failed {''.join(found.values())}", flush=True
        )
        failed |= found
    runs = {
        "restarts": in_lab("restarts", backend, 100, 20, 20),
        "reverting": in_lab("reverting", backend, 20),
        "operators": in_lab("operators", backend, 50, 50),
        "memory": in_lab("memory", backend, 100),
    }
    for name, seen in runs.items():
        print(f"{backend:8}{name:17}{json.dumps(seen)}", flush=True)
    return not failed and all(as_it_has_to_be(name, seen) for name, seen in runs.items())


def as_it_has_to_be(what: str, found: dict[str, Any]) -> bool:
    """Whether one of the runs beside the cases was."""
    if what == "memory":
        return found["same front"] == 1 and found["most MiB"] < found["limit MiB"] and set(found["looks"]) == {"blocked"}
    return not any(found[name] for name in MUST_BE_NOUGHT[what])


if __name__ == "__main__":
    raise SystemExit(main())
