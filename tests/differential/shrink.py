"""A disagreement made small: lines of the firewall left out while the two still disagree about the one packet."""

from collections.abc import Callable
from dataclasses import replace

from tests.differential.firewalls import Firewall
from tests.differential.trial import Finding, compare, run_trial
from tests.lab.kernel_truth import Kernel, RefusedRuleset

_PARTS = ("legacy", "nft_save", "native")


def shrink(kernel: Kernel, firewall: Firewall, finding: Finding) -> Firewall | None:
    """The smallest firewall found that still shows such a fault; None when alone with this packet there is none."""
    kinds = {_kind(each) for each in finding.faults}

    def disagrees(candidate: Firewall) -> bool:
        if not candidate.load:
            return False
        try:
            findings = list(compare(run_trial(kernel, candidate, [finding.shot])))
        except RefusedRuleset:
            return False
        return any(_kind(each) in kinds for found in findings for each in found.faults)

    if not disagrees(firewall):
        return None
    for part in _PARTS:
        firewall = _without_lines(firewall, part, disagrees)
    return firewall


def _kind(fault: str) -> str:
    return fault.partition(":")[0]


def _without_lines(firewall: Firewall, part: str, disagrees: Callable[[Firewall], bool]) -> Firewall:
    """Drops runs of lines, long ones first; the last lines depend on the first ones, so that it goes backwards."""
    length = len(getattr(firewall, part))
    while length:
        end = len(getattr(firewall, part))
        while end > 0:
            lines = getattr(firewall, part)
            start = max(0, end - length)
            candidate = replace(firewall, **{part: lines[:start] + lines[end:]})
            if disagrees(candidate):
                firewall = candidate
            end = start
        length //= 2
    return firewall
