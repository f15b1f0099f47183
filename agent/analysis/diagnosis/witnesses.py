"""What each independent witness says of the model's verdict on the pod's packet, in its own words.

model: the ruleset walked in Python. probe: a real connect. counters: whose counter rose during it. icmp: what came back on the
error queue. reader: python-iptables' own reading of the legacy INPUT chain. twin: the kernel with the same rules in
a namespace of its own. They share no code after the kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.analysis.diagnosis.deep_words import TRACE, deep_words
from agent.analysis.diagnosis.expected import expected_outcomes
from agent.analysis.diagnosis.places import is_counted, rule_name, same_place
from agent.analysis.diagnosis.scene import Scene
from agent.analysis.diagnosis.second_reading import differences
from agent.analysis.diagnosis.twin_word import compare
from agent.analysis.path.replies import icmp_of
from agent.model.explanation import Explanation, Moved, RuleRef, Verdict
from agent.model.probe import Outcome, ProbeResult
from agent.model.report import Evidence, Word
from agent.model.tri import Tri

# Outcomes that say nothing of the way to the kubelet.
_HELD_BACK = (
    "no answer in time; the rule counted the packet, and the kernel limits ICMP errors to one a second (icmp_ratelimit)"
)
UNTRIED = (Outcome.NOT_TRIED, Outcome.POD_GONE)


@dataclass(frozen=True, slots=True)
class Testimony:
    """One witness's word on "the model is right", and what it saw."""

    witness: str
    word: Word
    text: str

    @property
    def evidence(self) -> Evidence:
        """The same as a report shows it."""
        return Evidence(witness=self.witness, text=self.text)


def hear(scene: Scene) -> tuple[Testimony, ...]:
    """All witnesses, in the order in which a reader wants them. Empty when there is no packet to speak of."""
    if scene.explanation is None:
        return ()
    counters = _counters(scene, scene.explanation)
    if scene.silenced_by is None and _held_back(scene.explanation, scene.pod_probe, counters):
        probe, icmp = (Testimony(witness, Word.SILENT, _HELD_BACK) for witness in ("probe", "icmp"))
    else:
        silenced = scene.silenced_by is not None
        probe = _probe(scene.explanation, scene.pod_probe, listening=scene.listening, silenced=silenced)
        icmp = _icmp(scene.explanation, scene.pod_probe, silenced=silenced)
    reader, twin = _reader(scene, scene.explanation), Testimony("twin", *compare(scene.explanation, scene.twin, scene.rivals))
    deep = [Testimony(*words) for words in deep_words(scene.explanation, scene.capture.deep)]
    model = _model(scene.explanation)
    if scene.ruleset.unread and scene.explanation.stopped_by and not _is_seen((counters, twin, *deep)):
        model = Testimony("model", Word.SILENT, f"{model.text}, unless a rule that could not be read does so before it")
    return model, probe, counters, icmp, reader, twin, *deep


def _is_seen(testimonies: Sequence[Testimony]) -> bool:
    """Whether the kernel was seen to stop the packet by the rule: connects and ICMP errors of several rules are alike.

    The twin's kernel counts: it has loaded what the model did not understand, and says nothing where a backend was not read.
    """
    return any(item.word is Word.AGREES for item in testimonies if item.witness in ("counters", "twin", TRACE))


def _held_back(explanation: Explanation, probe: ProbeResult | None, counters: Testimony) -> bool:
    """The rejecting rule counted our packet, and its ICMP error did not come: the kernel rations them.

    net.ipv4.icmp_ratelimit: a burst of six errors to one peer, then one a second (net/ipv4/icmp.c, inet_peer_xrlim_allow).
    """
    with_icmp = explanation.reject_with is not None and icmp_of(explanation.reject_with) is not None
    timed_out = probe is not None and probe.outcome is Outcome.TIMEOUT
    return explanation.verdict is Verdict.REJECT and with_icmp and timed_out and counters.word is Word.AGREES


def _model(explanation: Explanation) -> Testimony:
    if explanation.verdict is Verdict.UNDECIDED:
        return Testimony(
            "model", Word.SILENT, f"the verdict hangs on {len(explanation.assumptions)} rule(s) that could not be decided"
        )
    rule = explanation.decided_by
    by = " or by ".join(map(rule_name, (rule, *explanation.or_by))) if rule else "no chain on the way"
    reply = f" with {explanation.reject_with}" if explanation.reject_with else ""
    return Testimony("model", Word.AGREES, f"{explanation.verdict}{reply} by {by}{_answer(explanation)}")


def _answer(explanation: Explanation) -> str:
    """What the model says of the answer, where it does not get through for sure."""
    reply = explanation.reply
    if reply is None or reply.verdict is Verdict.ACCEPT:
        return ""
    if reply.decided_by is None:
        return f"; its answer hangs on {len(reply.assumptions)} rule(s) that could not be decided"
    return f"; its answer: {reply.verdict} by {' or by '.join(map(rule_name, (reply.decided_by, *reply.or_by)))}"


def _probe(explanation: Explanation, probe: ProbeResult | None, *, listening: Tri, silenced: bool) -> Testimony:
    if probe is None or probe.outcome in UNTRIED:
        why = probe.detail if probe and probe.detail else "no connect was made from a pod"
        return Testimony("probe", Word.ABSENT, why)
    saw = f"connect from {probe.source or probe.request.source}: {probe.outcome}" + (f" ({probe.errno})" if probe.errno else "")
    expected = (Outcome.TIMEOUT,) if silenced else expected_outcomes(explanation, listening=listening)
    if not expected:
        return Testimony("probe", Word.SILENT, saw)
    return Testimony("probe", Word.AGREES if probe.outcome in expected else Word.DISAGREES, saw)


def _counters(scene: Scene, explanation: Explanation) -> Testimony:
    rule = explanation.stopped_by or explanation.decided_by
    if scene.moved is None:
        why = "the ruleset changed during the probe" if scene.changed else "the counters were not read around the probe"
        return Testimony("counters", Word.ABSENT, why)
    if rule is None:
        return Testimony("counters", Word.SILENT, "no rule decides, so none can be counted")
    rise = next((moved.packets for moved in scene.moved if same_place(moved.rule, rule)), 0)
    if rise:
        return Testimony("counters", *_counted(scene.moved, rule, explanation.stoppers[1:], rise))
    uncounted = next((each for each in (rule, *explanation.stoppers[1:]) if not is_counted(scene.ruleset, each)), None)
    if uncounted is not None:
        return Testimony("counters", Word.SILENT, f"{rule_name(uncounted)} has no counter")
    if scene.pod_probe is None or scene.pod_probe.outcome in UNTRIED:
        return Testimony("counters", Word.ABSENT, "no connect was made from a pod")
    return Testimony("counters", Word.DISAGREES, f"the counter of {rule_name(rule)} did not move during the probe")


def _counted(moved: tuple[Moved, ...], rule: RuleRef, or_by: tuple[RuleRef, ...], rise: int) -> tuple[Word, str]:
    also = [each for each in or_by if any(same_place(one.rule, each) for one in moved)]
    if also:
        named = " and ".join(map(rule_name, (rule, *also)))
        return Word.SILENT, f"{named} counted packets during the probe: which of them ours is not known"
    return Word.AGREES, f"{rule_name(rule)} counted {rise} packet(s) during the probe"


def _icmp(explanation: Explanation, probe: ProbeResult | None, *, silenced: bool) -> Testimony:
    if probe is None or probe.outcome in UNTRIED:
        return Testimony("icmp", Word.ABSENT, "no connect was made from a pod")
    saw = f"ICMP {probe.icmp[0]}/{probe.icmp[1]} from {probe.offender}" if probe.icmp else "no ICMP error came back"
    version = 6 if ":" in probe.request.target else 4
    expected = icmp_of(explanation.reject_with, version) if explanation.reject_with and not silenced else None
    if expected is None:
        contradicts = probe.icmp is not None and explanation.verdict is not Verdict.UNDECIDED
        return Testimony("icmp", Word.DISAGREES if contradicts else Word.SILENT, saw)
    return Testimony("icmp", Word.AGREES if probe.icmp == expected else Word.DISAGREES, saw)


def _reader(scene: Scene, explanation: Explanation) -> Testimony:
    rule, chain = explanation.decided_by, scene.legacy_chain
    if rule is None or (rule.backend, rule.table, rule.chain) != ("legacy", "filter", "INPUT"):
        return Testimony("reader", Word.SILENT, "python-iptables reads the legacy filter INPUT chain only")
    if chain is None or chain.problem:
        return Testimony("reader", Word.ABSENT, chain.problem if chain else "python-iptables was not asked")
    found = differences(scene.ruleset, chain)
    if found:
        return Testimony("reader", Word.DISAGREES, found[0])
    return Testimony(
        "reader", Word.AGREES, f"python-iptables reads the same {len(chain.rules)} rules and policy {chain.policy}"
    )
