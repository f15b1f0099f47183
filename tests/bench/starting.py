"""P5 and P8: from the start of a process to its answer, offline with many rules and live on a node that waits for nothing."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.lab.topology import NODE
from agent.model.ruleset import Backend
from tests.bench.results import Claim, Effort, NotMeasured, Row, rules_of
from tests.bench.sampling import Measure, interleave, milliseconds
from tests.bench.world import staged
from tests.lab.kube_shape import kube_proxy
from tests.lab.staged import KUBEREACH

_FLOW = ("--in", "cni0", "--src", "10.244.4.138", "--dst", NODE.address, "--proto", "tcp", "--dport", "10250")
# The fewest steps to the same file's rules in Python: a regular expression takes longer.
_SPLIT = "import sys; [line.split() for line in open(sys.argv[1])]"
_SCAPY = (
    "from scapy.all import IP, TCP, sr1; "
    f"raise SystemExit(sr1(IP(dst='{NODE.address}')/TCP(dport=10250, flags='S'), timeout=1, verbose=0) is None)"
)


def measure_offline(effort: Effort) -> Row:
    """P5: `kubereach explain --ruleset`, wall time and the most memory it ever had."""
    memory: list[float] = []
    size = rules_of(effort.services[-1])
    with TemporaryDirectory() as folder:
        file = Path(folder) / "iptables-save.txt"
        file.write_text(kube_proxy(effort.services[-1], elsewhere=True))
        explaining = [*KUBEREACH, "explain", "--ruleset", str(file), *_FLOW]

        def explain() -> float:
            return milliseconds(lambda: memory.append(_peak(explaining)))

        def split() -> float:
            return milliseconds(lambda: _peak([sys.executable, "-c", _SPLIT, str(file)]))

        explain()
        memory.clear()
        measures = interleave({f"kubereach explain, {size}": explain, "python that splits the lines": split}, effort.rounds)
    peak = Measure(subject="kubereach's peak", unit="MiB", values=tuple(memory))
    return Row(
        id="P5",
        what="offline, from process start to the explanation",
        measures=(*measures, peak),
        claims=(
            Claim(words="p50", value=measures[0].median, limit=1000.0, unit="ms"),
            Claim(words="peak RSS", value=peak.median, limit=100.0, unit="MiB"),
            Claim(words="p50 / python that splits the lines", value=measures[0].median / measures[1].median, ratio=True),
        ),
    )


def measure_cold(effort: Effort) -> Row:
    """P8: `kubereach diagnose` on the node, beside a script of scapy in the pod that sends one SYN."""
    with staged("healthy", Backend.NFT) as world:

        def diagnose() -> float:
            return milliseconds(lambda: world.on_node(*KUBEREACH, "diagnose", "--brief"))

        def scapy() -> float:
            argv = [*world.entering(pod=True), sys.executable, "-c", _SCAPY]
            return milliseconds(lambda: _peak(argv))

        diagnose(), scapy()
        measures = interleave({"kubereach diagnose": diagnose, "scapy, one SYN": scapy}, effort.rounds)
    ours, theirs = measures
    return Row(
        id="P8",
        what="cold start to the first verdict",
        measures=tuple(measures),
        claims=(
            Claim(words="p50", value=ours.median, limit=600.0, unit="ms"),
            Claim(words="p50 / scapy's one SYN", value=ours.median / theirs.median, ratio=True),
        ),
    )


def _peak(argv: Sequence[str]) -> float:
    """Runs it to its end; the largest resident set of it in MiB (`ru_maxrss` is KiB, getrusage(2))."""
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    # 1 is an explanation's own word for a packet that does not get through.
    if child.returncode not in (0, 1):
        raise NotMeasured(f"{argv[-1][:40]} ended with exit code {child.returncode}")
    return usage.ru_maxrss / 1024
