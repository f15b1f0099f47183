"""From a capture to a report: read the scene, hear the witnesses, name the cause.

The real packet is the judge of whether pods are stopped; the model may name a rule only where the real packet does not
contradict it. Where they differ, the difference itself is the finding.
"""

from collections.abc import Iterator, Sequence

from agent.analysis.diagnosis import access, control_plane, ladder
from agent.analysis.diagnosis.catalog import doubt, node
from agent.analysis.diagnosis.causes import find_causes
from agent.analysis.diagnosis.families import look_at_other, split_families
from agent.analysis.diagnosis.outside import rule_out
from agent.analysis.diagnosis.scene import Scene, read_scene
from agent.analysis.diagnosis.story import why_only_this_node
from agent.analysis.diagnosis.verdict import judge
from agent.analysis.diagnosis.witnesses import hear
from agent.model.capture import Capture
from agent.model.probe import Outcome, ProbeResult, Tls
from agent.model.report import Excluded, Fact, Finding, Probe, Report, Severity, State


def analyse(capture: Capture) -> Report:
    """The whole answer for one capture. Pure: the same capture gives an equal report."""
    main, other = split_families(capture)
    scene = read_scene(main)
    testimonies = hear(scene)
    findings = find_causes(scene, testimonies)
    findings = _in_order((*findings, *look_at_other(other, findings)))
    state, summary = judge(scene, findings)
    # Where the kernel itself says what happened outside the rules, it is explained why the rules and the packet differ.
    outside = bool(findings) and "kernel" in findings[0].witnesses
    return Report(
        node=scene.identity.node_name,
        state=state,
        summary=summary,
        taken_at=capture.taken_at,
        version=capture.version,
        findings=findings,
        probes=tuple(_probe(result, capture) for result in capture.probes),
        explanation=scene.explanation,
        why_only_this_node=why_only_this_node(scene) if state is State.BLOCKED else "",
        disagreements=tuple(f"{item.witness}: {item.text}" for item in testimonies if item.word == "disagrees" and not outside),
        excluded=(*_excluded(scene), *(rule_out(scene) if outside or _is_vague(findings) else ())),
        facts=tuple(_facts(scene)),
        problems=tuple(_problems(capture, scene)),
        seconds={stage.name: round(stage.seconds, 4) for stage in capture.stages},
    )


def _in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """What is only information goes last: the first finding is the cause."""
    return tuple(sorted(findings, key=lambda finding: finding.severity is Severity.INFO))


def _is_vague(findings: Sequence[Finding]) -> bool:
    """Whether the cause is one of those that say only where it is not."""
    vague = (node.BLOCKED_OUTSIDE_INPUT, doubt.RULE_UNDECIDED, doubt.WITNESSES_DISAGREE)
    return bool(findings) and findings[0].code in {cause.code for cause in vague}


def _probe(result: ProbeResult, capture: Capture) -> Probe:
    request = result.request
    return Probe(
        vantage=request.vantage,
        from_=result.source or request.source,
        to=f"[{request.target}]:{request.port}" if ":" in request.target else f"{request.target}:{request.port}",
        outcome=result.outcome,
        errno=result.errno,
        icmp=f"{result.icmp[0]}/{result.icmp[1]}" if result.icmp else None,
        seconds=result.seconds,
        tls=_tls(result.tls),
        http_status=result.tls.http_status if result.tls else None,
        detail=result.detail or _deadline(result, capture),
    )


def _tls(tls: Tls | None) -> str:
    if tls is None:
        return ""
    return tls.version or "TLS" if tls.ok else f"TLS failed: {tls.error}"


def _deadline(result: ProbeResult, capture: Capture) -> str:
    return f"no answer within {capture.settings.connect_timeout:g} s" if result.outcome is Outcome.TIMEOUT else ""


def _excluded(scene: Scene) -> Iterator[Excluded]:
    """Causes that this look rules out, and by what."""
    host, peer, listener = scene.host_probe, scene.peer_probe, scene.identity.listener
    if host and host.outcome is Outcome.OPEN:
        status = host.tls.http_status if host.tls else None
        answer = f" and answers HTTP {status}" if status else ""
        yield Excluded(what="kubelet down", because=f"the host's own connect is open{answer}")
    elif listener:
        who = f"{listener.process} (pid {listener.pid})" if listener.process else "a process"
        yield Excluded(what="kubelet down", because=f"{who} listens on {listener.address}:{listener.port}")
    if peer and peer.outcome is Outcome.OPEN:
        yield Excluded(what="the pod's own network", because=f"the same pod reaches {peer.request.target}:{peer.request.port}")
    yield from ladder.excluded(scene)


def _facts(scene: Scene) -> Iterator[Fact]:
    yield from scene.identity.facts
    phantom = scene.capture.phantom
    if phantom and phantom.address:
        made = f"{phantom.address}, made for this look through {phantom.how} and taken back"
        yield Fact(name="phantom pod", value=made, source="--phantom")
    kubelet = scene.identity.kubelet
    if kubelet:
        yield Fact(name="kubelet", value=f"{kubelet.name} (pid {kubelet.pid})", source="process list")
    listener = scene.identity.listener
    if listener:
        yield Fact(
            name="listener", value=f"{listener.address}:{listener.port}", source=f"sockets of {listener.process or 'unknown'}"
        )
    yield from access.facts(scene.capture.processes)
    yield from control_plane.facts(scene)
    if scene.packet and scene.packet.iif:
        yield Fact(name="pod packets come in by", value=scene.packet.iif, source=f"route to {scene.packet.source}")


def _problems(capture: Capture, scene: Scene) -> Iterator[str]:
    """Everything that could not be looked at, once each, in the order in which it was met."""
    noted = [*capture.problems, *capture.node.problems, *capture.before.problems]
    noted += capture.pod_firewall.problems if capture.pod_firewall else ()
    sentences = [f"{item.what}: {item.why}{'. ' + item.remedy if item.remedy else ''}" for item in noted]
    sentences += [f"processes: {capture.processes.problem}"] if capture.processes.problem else []
    if capture.node_object and capture.node_object.problem:
        sentences.append(f"Node object: {capture.node_object.problem}")
    for what, kept in (
        ("name lookup", capture.name_lookup),
        ("the certificate's issuer", capture.trust),
    ):
        sentences += [f"{what}: {kept.problem}"] if kept and kept.problem else []
    sentences += scene.identity.problems
    sentences += scene.ruleset.problems
    yield from dict.fromkeys(sentences)
