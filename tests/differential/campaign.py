"""A campaign: firewall after firewall, each with its packets, until so many pairs are compared or the time is over.

While the judge tries one firewall, the model is asked about the one before.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from time import monotonic

from tests.differential.firewalls import Firewall
from tests.differential.iptables_rules import IptablesRules
from tests.differential.nft_rules import NftRules
from tests.differential.shots import Shot, make_shots
from tests.differential.trial import SCRIPT, Finding, Trial, compare, finish_trial, request_for
from tests.lab.kernel_truth import Kernel, RefusedRuleset

# Few enough that rulesets are many, many enough that loading one does not take longer than all of its packets.
SHOTS = 40
# One in so many firewalls asks for what only the kernel knows: the answer may then be UNDECIDED, which shall stay below 1 %.
_STATEFUL = 80


@dataclass(slots=True)
class Score:
    """What came of it. `disagreements` are firewalls with the packets that were found at fault there."""

    pairs: int = 0
    undecided: int = 0
    firewalls: int = 0
    refused: list[str] = field(default_factory=list)
    disagreements: list[tuple[Firewall, Finding]] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: "Score") -> None:
        """Counts another campaign's score in."""
        self.pairs += other.pairs
        self.undecided += other.undecided
        self.firewalls += other.firewalls
        self.refused += other.refused
        self.disagreements += other.disagreements

    def count(self, kind: str) -> int:
        """How many packets have a fault of that kind: verdict, rule, way, undecided."""
        return sum(any(each.startswith(kind) for each in finding.faults) for _, finding in self.disagreements)

    def __str__(self) -> str:
        share = 100 * self.undecided / max(1, self.pairs)
        return (
            f"{self.pairs} pairs in {self.firewalls} firewalls: {self.count('verdict')} wrong verdicts, "
            f"{self.count('rule')} wrong rules, {self.count('way')} wrong ways, {share:.2f} % undecided "
            f"({self.count('undecided')} without a cause), {len(self.refused)} firewalls refused, {self.seconds:.0f} s"
        )


def make_firewall(random: Random) -> Firewall:
    """Any firewall: one backend or several, IPv4 or IPv6."""
    version, stateful = random.choice((4, 4, 6)), random.randrange(_STATEFUL) == 0
    kind = random.choice(("legacy", "legacy", "nft", "nft", "native", "native", "native", "both", "both", "all"))
    iptables = IptablesRules(random, version, stateful=stateful)
    match kind:
        case "legacy":
            return Firewall(version=version, legacy=tuple(iptables.lines()), stateful=stateful)
        case "nft":
            return Firewall(version=version, nft_save=tuple(iptables.lines()), stateful=stateful)
        case "native":
            return Firewall(version=version, native=tuple(NftRules(random, stateful=stateful).lines()), stateful=stateful)
    # Chains at one priority have no order that a listing shows. Of the iptables tables only one backend has rules that could
    # end a packet, and nft's own chains keep away from where they are.
    native = tuple(NftRules(random, stateful=stateful, spare=(-300, -150, -100, 0, 50, 100)).lines())
    lines = tuple(iptables.lines())
    if kind == "both":
        return Firewall(version=version, legacy=lines, native=native, stateful=stateful)
    return Firewall(
        version=version,
        nft_save=lines,
        legacy=("filter INPUT ACCEPT", "filter INPUT -i lo -j ACCEPT"),
        native=native,
        stateful=stateful,
    )


def run_campaign(kernel: Kernel, random: Random, pairs: int, seconds: float = float("inf")) -> Iterator[Score]:
    """The score so far, again and again until so many pairs were compared or so many seconds went by."""
    score, started = Score(), monotonic()
    waiting: tuple[Firewall, Sequence[Shot]] | None = None
    trial: Trial | None = None
    while score.pairs < pairs and score.seconds < seconds:
        if waiting is None:
            waiting = _ask(kernel, random)
        firewall, shots = waiting
        try:
            trial = finish_trial(firewall, shots, kernel.receive())
        except RefusedRuleset as refusal:
            score.refused.append(str(refusal))
            trial = None
        waiting = _ask(kernel, random)
        if trial is not None:
            _count(score, trial)
        score.seconds = monotonic() - started
        yield score
    if waiting is not None:
        _end(kernel)


def _ask(kernel: Kernel, random: Random) -> tuple[Firewall, Sequence[Shot]]:
    firewall = make_firewall(random)
    shots = make_shots(random, firewall.versions, SHOTS)
    kernel.send(request_for(firewall, shots))
    return firewall, shots


def _end(kernel: Kernel) -> None:
    """Takes the answer that nobody needs any more, so that the next question gets its own."""
    try:
        kernel.receive()
    except RefusedRuleset:
        return


def _count(score: Score, trial: Trial) -> None:
    score.firewalls += 1
    for finding in compare(trial):
        score.pairs += 1
        score.undecided += finding.undecided
        if finding.faults:
            score.disagreements.append((trial.firewall, finding))


def start_judge(*, rootless: bool | None = None) -> Kernel:
    """The judge in its namespaces; `rootless` puts it into a user namespace though root is here."""
    return Kernel(SCRIPT, rootless=os.geteuid() != 0 if rootless is None else rootless)
