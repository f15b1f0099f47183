"""Which cause explains what was seen. One function per situation; the root cause comes first, circumstances after it.

The order of questions is an expert's, cheapest discriminator first: did the real packet arrive? does the model agree with it?
who else could have answered as it was answered?
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_network

from agent.analysis.diagnosis.block import BLOCKS, Block, find_block
from agent.analysis.diagnosis.blocker import name_cause
from agent.analysis.diagnosis.catalog import Cause, doubt, firewall, kubelet, node
from agent.analysis.diagnosis.control_plane import look_at_control_plane
from agent.analysis.diagnosis.deep_words import DROP_REASON
from agent.analysis.diagnosis.ladder import climb
from agent.analysis.diagnosis.neighbours import find_left_out, find_loophole
from agent.analysis.diagnosis.other_pods import compare_pods
from agent.analysis.diagnosis.outside import find_proof
from agent.analysis.diagnosis.places import chain_at, rule_name, same_place
from agent.analysis.diagnosis.provenance import owner_of
from agent.analysis.diagnosis.rations import Ration, find_ration
from agent.analysis.diagnosis.remedy import Opening, look_at_kubelet, open_before
from agent.analysis.diagnosis.rivals import next_stop
from agent.analysis.diagnosis.scene import Scene
from agent.analysis.diagnosis.suspects import Proof
from agent.analysis.diagnosis.witnesses import UNTRIED, Testimony
from agent.model.explanation import Assumption, Explanation, RuleRef, Verdict
from agent.model.identity import Identity
from agent.model.packet import Packet
from agent.model.probe import REFUSED, Outcome, ProbeResult
from agent.model.report import Evidence, Finding, Remedy, Severity, Word
from agent.model.tri import Tri

_RANK = {severity: rank for rank, severity in enumerate((Severity.CRITICAL, Severity.WARNING, Severity.INFO))}


def find_causes(scene: Scene, testimonies: Sequence[Testimony]) -> tuple[Finding, ...]:
    """The findings of one scene, the root cause first."""
    probe = scene.pod_probe
    if probe is None or probe.outcome in UNTRIED:
        causes = (*_by_model_alone(scene, testimonies), *_dead_opening(scene, testimonies))
    elif probe.outcome is Outcome.OPEN:
        causes = tuple(_arrived(scene, testimonies, probe))
    else:
        causes = (*_stopped(scene, testimonies, probe), *_dead_opening(scene, testimonies))
    causes = compare_pods(scene, (*causes, *climb(scene)))
    holds = all(finding.severity is Severity.INFO for finding in causes)
    found = (*causes, *look_at_control_plane(scene, holds=holds), *_circumstances(scene))
    return tuple(sorted(found, key=lambda finding: _RANK[finding.severity]))  # stable: the root cause stays first


def _by_model_alone(scene: Scene, testimonies: Sequence[Testimony]) -> Iterator[Finding]:
    explanation, packet = scene.explanation, scene.packet
    if explanation and explanation.stopped_by and _disagreed(testimonies):
        message = (
            f"No real packet was sent, and the witnesses contradict {rule_name(explanation.stopped_by)}: do not act on it."
        )
        yield _finding(doubt.WITNESSES_DISAGREE, message, testimonies)
    elif explanation and explanation.stopped_by and _is_open(testimonies):
        yield _unsure(scene, explanation.stopped_by, testimonies)
    elif block := find_block(scene.ruleset, packet, explanation, scene.saved):
        yield _blocked(scene, block, testimonies)
    elif packet and explanation and explanation.stopped_by:
        yield _unanswered(scene, packet, explanation.stopped_by, testimonies)
    elif scene.is_node and scene.listening is Tri.NO and scene.host_probe and scene.host_probe.outcome is Outcome.RESET:
        yield _kubelet(scene, testimonies)


def _arrived(scene: Scene, testimonies: Sequence[Testimony], probe: ProbeResult) -> Iterator[Finding]:
    explanation = scene.explanation
    if explanation and explanation.stopped_by:
        yield _finding(doubt.WITNESSES_DISAGREE, _disagreement(explanation, probe), testimonies)
    yield from _dying_opening(scene, testimonies)
    count = len(_left_open(explanation)) if explanation else 0
    if count:
        message = f"{count} rule(s) on the way could not be decided; the real connect shows that they let this packet pass."
        yield _finding(doubt.MODEL_UNDECIDED, message, testimonies)


def _dying_opening(scene: Scene, testimonies: Sequence[Testimony]) -> Iterator[Finding]:
    """The pod that was probed gets through by a rule of its own, and its neighbours do not."""
    explanation, packet = scene.explanation, scene.packet
    if packet and explanation and explanation.verdict is Verdict.ACCEPT and not _disagreed(testimonies):
        loophole = find_loophole(scene)
        if loophole and explanation.decided_by in loophole.opened_by:
            remedy = _open(scene, packet, loophole.closed_by)
            yield _finding(firewall.ACCEPT_DIES_WITH_POD, loophole.message, testimonies, remedy)
        for left in find_left_out(scene):
            remedy = _open(scene, packet, left.closed_by, left.network)
            yield _finding(firewall.POD_CIDR_LEFT_OUT, left.message, testimonies, remedy)


def _dead_opening(scene: Scene, testimonies: Sequence[Testimony]) -> Iterator[Finding]:
    """The pod that was probed is stopped, and some other address gets through: perhaps this pod's, before it started anew."""
    explanation = scene.explanation
    if explanation and explanation.verdict in BLOCKS and not _disagreed(testimonies):
        loophole = find_loophole(scene)
        if loophole:
            yield _finding(firewall.ACCEPT_DIES_WITH_POD, loophole.message, ())


def _disagreed(testimonies: Sequence[Testimony]) -> bool:
    return any(item.word is Word.DISAGREES for item in testimonies)


def _is_open(testimonies: Sequence[Testimony]) -> bool:
    """Whether the model, which has a rule, does not stand for it."""
    return any(item.witness == "model" and item.word is Word.SILENT for item in testimonies)


def _left_open(explanation: Explanation) -> tuple[Assumption, ...]:
    """What an undecided verdict on the packet or its answer hangs on."""
    reply = explanation.reply
    if explanation.verdict is Verdict.UNDECIDED:
        return explanation.assumptions
    return reply.assumptions if reply is not None else ()


def _stopped(scene: Scene, testimonies: Sequence[Testimony], probe: ProbeResult) -> Iterator[Finding]:
    packet, explanation, proof = scene.packet, scene.explanation, find_proof(scene)
    block = find_block(scene.ruleset, packet, explanation, scene.saved)
    if proof:
        yield _proven(proof, testimonies)
    elif probe.outcome in REFUSED:
        saw = f"{probe.errno} without any packet coming back"
        yield _finding(
            node.POD_ROUTE, f"The pod's own namespace refuses the way to {probe.request.target}: {saw}.", testimonies
        )
    elif ration := find_ration(scene):
        yield _rationed(scene, ration, testimonies)
    elif packet and explanation and explanation.verdict is Verdict.ACCEPT:
        yield _let_in(scene, packet, explanation, testimonies, probe)
    elif block is None:
        yield _undecided(explanation, testimonies, probe)
    elif _disagreed(testimonies):
        yield _finding(doubt.WITNESSES_DISAGREE, _disagreement(block.explanation, probe), testimonies)
    elif _is_open(testimonies):
        yield _unsure(scene, block.rule, testimonies)
    else:
        yield _blocked(scene, block, testimonies)


def _blocked(scene: Scene, block: Block, testimonies: Sequence[Testimony]) -> Finding:
    cause, message = name_cause(block, scene.identity.pod_cidrs)
    if scene.silenced_by:
        cause, message = (
            firewall.REJECT_SILENCED,
            (
                f"{rule_name(block.rule)} rejects the packet with {block.explanation.reject_with}, and that answer "
                f"is stopped on its way out by {rule_name(scene.silenced_by)} ({scene.silenced_by.text}): pods see a timeout. "
                f"{message}"
            ),
        )
    remedy = _open(scene, block.packet, block.rule)
    behind = next_stop(block)
    if behind is not None:
        message += f" An opening there is not enough: {rule_name(behind)} stops the packet as well ({behind.text})."
    elif scene.ruleset.unread:
        message += " Whether an opening there is enough is not known: not all rules could be read."
    if cause is firewall.SAVED_RULE_NOT_LOADED:
        remedy = replace(remedy, persistent={"the saved file": "has the line already; the message says what loads it"})
    return _finding(cause, message, testimonies, remedy)


def _rationed(scene: Scene, ration: Ration, testimonies: Sequence[Testimony]) -> Finding:
    """A limit decides, and the rule that counted the packet tells which way."""
    rule = ration.block.rule
    limits = " and ".join(f"{rule_name(limit)} ({limit.text})" for limit in ration.limits)
    own = any(same_place(limit, rule) for limit in ration.limits)
    message = (
        f"What happens hangs on a limit, {limits}, and the counters tell how it stood: the probe's packet was counted by "
        f"{'that rule itself' if own else rule_name(rule)}, which stops it. Pods get through now and then."
    )
    return _finding(firewall.RATE_LIMITED, message, testimonies, _open(scene, ration.block.packet, ration.limits[0]))


def _open(scene: Scene, packet: Packet, rule: RuleRef, network: str = "", *, answer: bool = False) -> Remedy:
    """The opening before that rule, in its owner's own tool."""
    opening = _opening(scene.identity, packet, network, answer=answer)
    return open_before(rule, opening, owner_of(rule, chain_at(scene.ruleset, rule)))


def _opening(identity: Identity, packet: Packet, network: str = "", *, answer: bool = False) -> Opening:
    """The flow from the pod's network (or another `network`) to the kubelet, or its answers' way back."""
    cidrs = [cidr for cidr in identity.pod_cidrs if (":" in cidr) == (packet.version == 6)]
    own = [cidr for cidr in cidrs if packet.source in ip_network(cidr, strict=False)]
    pods = network or next(iter((*own, *cidrs)), str(packet.source))
    node, port = str(packet.destination), identity.kubelet_port
    return Opening(node, pods, port, answer=True) if answer else Opening(pods, node, port)


def _let_in(
    scene: Scene, packet: Packet, explanation: Explanation, testimonies: Sequence[Testimony], probe: ProbeResult
) -> Finding:
    """The rules let the packet in, and yet nobody answers as the kubelet would."""
    reply = explanation.reply
    if probe.outcome is Outcome.RESET and scene.listening is Tri.NO:
        return _kubelet(scene, testimonies)
    if reply is None or reply.verdict is Verdict.ACCEPT:
        return _unexplained(testimonies, probe)
    if reply.decided_by is None:
        return _undecided(replace(explanation, assumptions=reply.assumptions), testimonies, probe)
    if _disagreed(testimonies):
        return _finding(doubt.WITNESSES_DISAGREE, _disagreement(explanation, probe), testimonies)
    return _unanswered(scene, packet, reply.decided_by, testimonies)


def _unanswered(scene: Scene, packet: Packet, rule: RuleRef, testimonies: Sequence[Testimony]) -> Finding:
    message = (
        "Every rule on the way in accepts the packet; the node's answer to the pod is stopped on its way out "
        f"by {rule_name(rule)} ({rule.text})."
    )
    return _finding(firewall.REPLY_DROPPED, message, testimonies, _open(scene, packet, rule, answer=True))


def _kubelet(scene: Scene, testimonies: Sequence[Testimony]) -> Finding:
    port, listener = scene.identity.kubelet_port, scene.identity.listener
    if listener:
        message = f"{listener.process or 'A process'} listens on {listener.address}:{listener.port} only."
        return _finding(kubelet.KUBELET_BOUND_ELSEWHERE, message, testimonies, look_at_kubelet())
    message = (
        f"Nobody on this node listens on TCP port {port}, so the kernel answers with a reset. The firewall is not the cause."
    )
    return _finding(kubelet.KUBELET_NOT_LISTENING, message, testimonies, look_at_kubelet())


def _unexplained(testimonies: Sequence[Testimony], probe: ProbeResult) -> Finding:
    """The rules accept and the packet was stopped all the same: something outside netfilter's INPUT rules."""
    suspects = {
        Outcome.TIMEOUT: "a cgroup BPF filter (systemd IPAddressDeny), tc or XDP programs, rp_filter, or a lost reply",
        Outcome.RESET: "a kubelet that is restarting, or whose sockets could not be seen",
    }
    suspect = suspects.get(
        probe.outcome, "a rule in a place that was not read: the pod's own namespace, bridge or netdev tables"
    )
    message = f"Every rule on the way accepts the packet, yet the connect ends in {probe.outcome}. Suspect {suspect}."
    return _finding(node.BLOCKED_OUTSIDE_INPUT, message, testimonies)


def _undecided(explanation: Explanation | None, testimonies: Sequence[Testimony], probe: ProbeResult) -> Finding:
    if explanation is None:
        return _finding(
            doubt.RULE_UNDECIDED, f"The connect ends in {probe.outcome}, and there was no ruleset to walk.", testimonies
        )
    quoted = "; ".join(f"{item.rule.text} ({item.why})" for item in explanation.assumptions[:5])
    return _finding(
        doubt.RULE_UNDECIDED, f"The connect ends in {probe.outcome}. What could not be decided: {quoted}.", testimonies
    )


def _unsure(scene: Scene, rule: RuleRef, testimonies: Sequence[Testimony]) -> Finding:
    """A rule that was read stops the packet, and one that was not may have done so before it came there."""
    unread = " ".join(scene.ruleset.unread)
    message = f"{rule_name(rule)} stops it ({rule.text}) if nothing does so before, which no counter tells: {unread}"
    return _finding(doubt.RULE_UNDECIDED, message, testimonies)


def _circumstances(scene: Scene) -> Iterator[Finding]:
    if scene.identity.conflicts:
        yield _finding(node.FACTS_CONFLICT, "; ".join(scene.identity.conflicts) + ".", ())


def _proven(proof: Proof, testimonies: Sequence[Testimony]) -> Finding:
    """What the kernel itself says of the packet outside the rules. The model's walk is no witness to it: it saw rules only."""
    own = [item for item in testimonies if item.witness in ("model", "probe", "icmp", DROP_REASON)]
    evidence = (*(Evidence(witness="kernel", text=text) for text in proof.seen), *(item.evidence for item in own))
    return Finding(
        code=proof.cause.code,
        severity=proof.cause.severity,
        title=proof.cause.title,
        message=proof.message,
        witnesses={"kernel": Word.AGREES},
        evidence=evidence,
        remedy=proof.remedy,
    )


def _disagreement(explanation: Explanation, probe: ProbeResult) -> str:
    rule = explanation.stopped_by or explanation.decided_by
    named = f" by {rule.text}" if rule else ""
    verdict = (
        f"{explanation.reply.verdict} for the answer" if explanation.reply and explanation.reply.lost else explanation.verdict
    )
    return (
        f"The rules say {verdict}{named}, the real connect ended in {probe.outcome}. "
        "Something takes part that was not read or not understood: do not act on the rule before this is clear."
    )


def _finding(cause: Cause, message: str, testimonies: Sequence[Testimony], remedy: Remedy | None = None) -> Finding:
    return Finding(
        code=cause.code,
        severity=cause.severity,
        title=cause.title,
        message=message,
        witnesses={item.witness: item.word for item in testimonies},
        evidence=tuple(Evidence(witness=item.witness, text=item.text) for item in testimonies),
        remedy=remedy,
    )
