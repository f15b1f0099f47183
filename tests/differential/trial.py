"""One firewall and its packets before the judge and before the model, and every difference between the two.

What is compared: the verdict; the answer on the wire; the deciding rule, which has to have counted the packet and to be the
only one that ended it; and the whole way, rule by rule: what the model says was met has counted, and nothing else has.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from agent.analysis.diagnosis.places import chain_at, rule_at
from agent.analysis.path.explain import explain
from agent.analysis.path.hooks import base_chains, groups, link_chains
from agent.analysis.path.replies import icmp_of
from agent.analysis.path.walk import walk
from agent.model.explanation import Explanation, RuleRef, Verdict
from agent.model.ruleset import Drop, Hook, Jump, Reject, Ruleset, Statement, VerdictMap
from tests.differential import wire
from tests.differential.firewalls import Firewall
from tests.differential.shots import Shot
from tests.lab.kernel_truth import READ, Kernel, read

Place = tuple[str, str, str, str, int | None]
SCRIPT = ("-m", "tests.differential.judge")
# Why a firewall without limits and the like may leave the model undecided: whether conntrack is at work where no rule asks for
# it; what NAT did to a packet on its way out, before it came back by lo; to which of an interface's addresses REDIRECT goes;
# what nft joined and lists apart.
_STATE = ("only under conntrack", "ct status", "the packet's daddr", "nft may have joined this test")
_AWAY = (Hook.OUTPUT, Hook.FORWARD, Hook.POSTROUTING)


@dataclass(frozen=True, slots=True)
class Fate:
    """What the kernel did: `answer` is what `wire.answer_of` says, `counted` where the packet was counted."""

    arrived: bool
    answer: str | tuple[int, int] | None
    counted: frozenset[Place]


@dataclass(frozen=True, slots=True)
class Finding:
    """One packet's comparison. `faults` are sentences, each starting with its kind: verdict, rule, way, undecided."""

    shot: Shot
    faults: tuple[str, ...]
    undecided: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """One firewall, with what became of each packet."""

    firewall: Firewall
    ruleset: Ruleset
    fates: tuple[tuple[Shot, Fate], ...]


def run_trial(kernel: Kernel, firewall: Firewall, shots: Sequence[Shot], interfaces: Sequence[str] = ()) -> Trial:
    """Raises `RefusedRuleset` when a tool refuses the firewall."""
    return finish_trial(firewall, shots, kernel.ask(request_for(firewall, shots, interfaces)))


def request_for(firewall: Firewall, shots: Sequence[Shot], interfaces: Sequence[str] = ()) -> dict[str, Any]:
    """The judge's request."""
    return {
        "load": firewall.load,
        "read": {name: READ[name] for name in firewall.readings},
        "legacy": bool(firewall.legacy),
        "nft": bool(firewall.nft_save or firewall.native),
        "interfaces": list(interfaces),
        "packets": [(shot.way, shot.packet().hex()) for shot in shots],
    }


def finish_trial(firewall: Firewall, shots: Sequence[Shot], answer: dict[str, Any]) -> Trial:
    """The judge's answer, read."""
    places = [tuple(each) for each in answer["places"]]
    fates = []
    sent = ((shot, fate) for shot, fate in zip(shots, answer["fates"], strict=True) if fate is not None)
    for shot, (arrived, answers, rose) in sent:
        said = [found for each in answers if (found := wire.answer_of(bytes.fromhex(each))) is not None]
        counted = frozenset(places[int(index)] for index in rose)
        fates.append((shot, Fate(arrived is not None, said[0] if said else None, counted)))
    return Trial(firewall, read(answer["texts"], firewall.readings), tuple(fates))


def compare(trial: Trial) -> Iterator[Finding]:
    """Packet by packet."""
    if trial.ruleset.problems or trial.ruleset.unread:
        sentence = f"reading: has problems: {trial.ruleset.problems}{trial.ruleset.unread}"
        yield from (Finding(shot, (sentence,), undecided=False) for shot, _ in trial.fates[:1])
    ground = _survey(trial.ruleset)
    for shot, fate in trial.fates:
        found = explain(trial.ruleset, shot.model())
        undecided = found.verdict is Verdict.UNDECIDED
        faults = _judge_undecided(trial, shot, fate, found) if undecided else _judge(ground, shot, fate, found)
        yield Finding(shot, tuple(faults), undecided)


def _judge_undecided(trial: Trial, shot: Shot, fate: Fate, found: Explanation) -> Iterator[str]:
    if not found.assumptions or found.decided_by is not None:
        yield "undecided: without an assumption, or with a deciding rule"
    outcomes = walk(trial.ruleset, shot.model(), (Hook.PREROUTING, Hook.INPUT)).outcomes
    open_end = any(each.verdict is Verdict.UNDECIDED for each in outcomes) or link_chains(trial.ruleset)
    if not open_end and not any(_is_fate(shot, each.verdict, each.reply, fate) for each in outcomes):
        yield f"verdict: {_told(fate)} is not among {[(str(each.verdict), each.reply) for each in outcomes]}"
    if not trial.firewall.stateful and not any(word in each.why for each in found.assumptions for word in _STATE):
        yield f"undecided: although nothing depends on the kernel's state: {'; '.join(each.why for each in found.assumptions)}"


def _judge(ground: "_Ground", shot: Shot, fate: Fate, found: Explanation) -> Iterator[str]:
    ruleset = ground.ruleset
    if not _is_fate(shot, found.verdict, found.reject_with, fate) and not _is_unheard(ground, fate, found):
        yield f"verdict: the model says {found.verdict} {found.reject_with or ''}, the kernel {_told(fate)}"
    met = {each for each in fate.counted if each[:4] not in ground.away}
    certain = list(takewhile(lambda step: step.result != "maybe", found.steps))
    sure = len(certain) == len(found.steps)
    decider = found.decided_by
    if decider is not None and _has_counter(ruleset, decider) and sure and _place(decider) not in fate.counted:
        yield f"rule: {decider.table} {decider.chain} {decider.rule_number} did not count the packet"
    ordered = [step.rule for step in certain if (step.rule.hook, *_place(step.rule)[:3]) not in ground.unordered[shot.version]]
    missed = [rule for rule in ordered if _has_counter(ruleset, rule) and _place(rule) not in fate.counted]
    if missed:
        yield f"way: {[_place(each) for each in missed]} did not count the packet"
    if shot.way == "lo":  # answers come by lo as well, and are counted too
        return
    if sure:
        shared = {each[1:] for each in ground.unordered[shot.version]}
        untold = {each for each in met if each[:3] not in shared} - {_place(step.rule) for step in found.steps}
        if untold:
            yield f"way: {sorted(map(str, untold))} counted the packet"
    enders = {place for place in met if _ends(ruleset, place)} if found.verdict is not Verdict.ACCEPT else set[Place]()
    # Behind a maybe several rules may end the packet in the same way: then any of them did.
    perhaps = set[Place]() if sure else {_place(step.rule) for step in found.steps}
    if decider is not None and enders - perhaps - {_place(decider)}:
        yield f"rule: it was ended by {sorted(map(str, enders))}, not by {_place(decider)}"


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the comparison has to know of a ruleset.

    `away` are the chains that answers may come by on their way out, where they are counted as well; `muffled` says that they
    may be stopped there. `unordered` has, by IP version, hook and table of the base chains that share their priority with
    another: steps there tell what may have happened.
    """

    ruleset: Ruleset
    away: frozenset[tuple[str, str, str, str]]
    muffled: bool
    unordered: dict[int, set[tuple[str, str, str, str]]]


def _survey(ruleset: Ruleset) -> _Ground:
    away, muffled = set(), False
    for table in ruleset.tables:
        chains = {chain.name: chain for chain in table.chains}
        todo = [chain.name for chain in table.chains if chain.base is not None and chain.base.hook in _AWAY]
        while todo:
            name = todo.pop()
            place = (table.backend, table.family, table.name, name)
            if name not in chains or place in away:
                continue
            away.add(place)
            statements = [each for rule in chains[name].rules for each in rule.statements]
            base = chains[name].base
            muffled = muffled or any(isinstance(each, Drop | Reject) for each in statements)
            muffled = muffled or (base is not None and base.policy.lower() == "drop")
            todo += [target for each in statements for target in _targets(each)]
    unordered = {version: set(_unordered(ruleset, version)) for version in (4, 6)}
    return _Ground(ruleset, frozenset(away), muffled, unordered)


def _targets(statement: Statement) -> list[str]:
    if isinstance(statement, VerdictMap):
        return [verdict.chain for _, verdict in statement.entries if isinstance(verdict, Jump)]
    return [statement.chain] if isinstance(statement, Jump) else []


def _unordered(ruleset: Ruleset, version: int) -> Iterator[tuple[str, str, str, str]]:
    for hook in (Hook.PREROUTING, Hook.INPUT):
        for group in groups(base_chains(ruleset, hook, version)):
            if len(group) > 1:
                yield from ((hook, table.backend, table.family, table.name) for table, _ in group)


def _is_fate(shot: Shot, verdict: Verdict, reply: str | None, fate: Fate) -> bool:
    if verdict is Verdict.ACCEPT or fate.arrived:
        return verdict is Verdict.ACCEPT and fate.arrived
    if shot.protocol == wire.UNKNOWN and fate.answer is None:
        return verdict is not Verdict.ACCEPT  # what REJECT takes for its checksum, NAT does not keep right
    return fate.answer == (_on_wire(shot, reply) if verdict is Verdict.REJECT and reply else None)


def _is_unheard(ground: "_Ground", fate: Fate, found: Explanation) -> bool:
    """Whether the answer of a REJECT may have been stopped on its way out; the counters say then what happened."""
    return found.verdict is Verdict.REJECT and not fate.arrived and fate.answer is None and ground.muffled


def _on_wire(shot: Shot, reply: str) -> str | tuple[int, int] | None:
    """What REJECT sends for this packet: nothing to a reset, nor to an ICMP error (nf_reject_ipv4.c, nf_reject_ipv6.c)."""
    if reply == "tcp-reset":
        return None if shot.flags is not None and shot.flags & wire.RST else "rst"
    return None if wire.is_error(shot.protocol, shot.kind) else icmp_of(reply, shot.version)


def _told(fate: Fate) -> str:
    return "ACCEPT" if fate.arrived else f"no ACCEPT, with the answer {fate.answer}"


def _place(rule: RuleRef) -> Place:
    return rule.backend, rule.family, rule.table, rule.chain, rule.rule_number


def _has_counter(ruleset: Ruleset, place: RuleRef) -> bool:
    chain = chain_at(ruleset, place)
    assert chain is not None
    if place.policy:
        return chain.base is not None and chain.base.counter is not None
    rule = rule_at(ruleset, place)
    assert rule is not None
    return rule.counter is not None


def _ends(ruleset: Ruleset, place: Place) -> bool:
    """Whether a rule or policy ends every packet that it counts."""
    backend, family, table, name, number = place
    chain = next(
        chain
        for each in ruleset.tables
        if (each.backend, each.family, each.name) == (backend, family, table)
        for chain in each.chains
        if chain.name == name
    )
    if number is None:
        return chain.base is not None and chain.base.policy.lower() == "drop"
    return any(isinstance(each, Drop | Reject) for each in chain.rules[number - 1].statements)
