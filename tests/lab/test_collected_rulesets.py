"""Rulesets of real machines held to the kernel: what becomes of the pod's packet, and by which rule.

They are other people's data and stay outside the project, beside the checkout; elsewhere this is skipped.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.analysis.path.explain import explain
from agent.analysis.path.replies import icmp_of
from agent.model.capture import LEGACY_SAVE, LEGACY_SAVE6, NFT_JSON, NFT_SAVE, NFT_SAVE6
from agent.model.explanation import Verdict
from tests.lab.kernel_cases import Case
from tests.lab.kernel_truth import Kernel, RefusedRuleset, ask, hold_counters, hold_outcomes

RULESETS = Path(__file__).parents[3] / "shared" / "rulesets"
SAVES = sorted(RULESETS.glob("*tables-save")) if RULESETS.is_dir() else []
# Its OUTPUT chain drops the answer: the rule is right, the client hears nothing of it, and chains of the way out count.
SILENCED = "022-"


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    found = Kernel()
    yield found
    found.close()


@pytest.mark.skipif(not SAVES, reason="the collected rulesets are not beside this checkout")
@pytest.mark.parametrize(("number", "path"), list(enumerate(SAVES)), ids=[path.name for path in SAVES])
def test_a_real_ruleset(kernel: Kernel, number: int, path: Path) -> None:
    six, backend = path.name.endswith("ip6tables-save"), ("legacy", "nft")[number % 2]
    readings = [LEGACY_SAVE6 if six else LEGACY_SAVE] if backend == "legacy" else [NFT_SAVE6 if six else NFT_SAVE, NFT_JSON]
    text = path.read_text(encoding="utf-8", errors="replace")
    load = [([f"ip{'6' if six else ''}tables-{backend}-restore"], text)]
    silenced = path.name.startswith(SILENCED)
    case = Case(path.name, "MAYBE", "", to="node6" if six else "node", unordered=silenced)
    try:
        truth, packet = ask(kernel, case, load, readings)
    except RefusedRuleset as refusal:
        pytest.skip(str(refusal).partition("\n")[0])
    found = explain(truth.before, packet)
    if found.verdict is Verdict.UNDECIDED:
        hold_outcomes(truth, packet)
        return
    if truth.errno != (found.client_sees or "") and not silenced:
        truth, packet = ask(kernel, replace(case, want=found.verdict), load, readings)
        found = explain(truth.before, packet)
        assert truth.errno == (found.client_sees or "")
        assert truth.icmp == (icmp_of(found.reject_with) if found.reject_with else None)
    hold_counters(case, truth, found)
