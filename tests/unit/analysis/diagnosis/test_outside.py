"""agent.analysis.diagnosis.outside: a suspect is named where the kernel says so, and nowhere else."""

from dataclasses import replace

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.analysis.diagnosis.outside import find_proof
from agent.analysis.diagnosis.scene import read_scene
from agent.model.capture import Capture, Interface, Route
from agent.model.evidence import (
    ENTERS_NODE,
    LEAVES_NODE,
    LEAVES_POD,
    Counters,
    Lookup,
    Neighbour,
    NodeEvidence,
    PolicyRule,
    Program,
    Unit,
    Unread,
)
from agent.model.probe import Outcome, ProbeResult, Tls, Vantage
from agent.model.report import Report, State
from tests.unit.analysis.diagnosis.captures import KUBELET_TLS, NODE_IP, POD_IP, PROHIBITED, SEED, capture, firewall, probe

OPEN_RULES = """*filter
:INPUT ACCEPT [{hits}:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
"""
TIMEOUT = probe(Vantage.POD, Outcome.TIMEOUT, errno="ETIMEDOUT")
RESET = probe(Vantage.POD, Outcome.RESET, errno="ECONNREFUSED")
OUT = Lookup(
    question=LEAVES_POD, source=POD_IP, target=NODE_IP, kind="unicast", interface="eth0", gateway="10.9.1.1", table=254
)
IN = Lookup(question=ENTERS_NODE, source=POD_IP, target=NODE_IP, incoming="cni0", kind="local", interface="lo", table=255)
BACK = Lookup(question=LEAVES_NODE, source=NODE_IP, target=POD_IP, kind="unicast", interface="cni0", table=254)
HOP = Neighbour(place="pod", address="10.9.1.1", interface="eth0", state="REACHABLE")
HEALTHY = NodeEvidence(
    cable="veth1",
    entry="cni0",
    sysctls={"conf/all/rp_filter": "1", "conf/cni0/rp_filter": "0", "nf_conntrack_count": "9", "nf_conntrack_max": "99"},
    mtus={"pod eth0": 1500, "node veth1": 1500, "node cni0": 1500},
    lookups=(OUT, IN, BACK),
    rules=(PolicyRule(priority=0, table=255), PolicyRule(priority=32766, table=254)),
    neighbours=(HOP, Neighbour(place="node", address=POD_IP, interface="cni0", state="STALE")),
    cgroup="/system.slice/kubelet.service",
)
NETSTAT = "TcpExt: IPReversePathFilter ListenOverflows ListenDrops\nTcpExt: {rp} {overflows} {listen}\n"
SNMP = "Tcp: InSegs InCsumErrors\nTcp: 5 {csum}\n"
CONNTRACK = "entries drop\n00000009 {drop:08x}\n00000009 00000000\n"


def counters(rp: int = 0, overflows: int = 0, csum: int = 0, drop: int = 0, drops: int | None = 0, **more: object) -> Counters:
    files = {
        "netstat": NETSTAT.format(rp=rp, overflows=overflows, listen=overflows),
        "snmp": SNMP.format(csum=csum),
        "stat/nf_conntrack": CONNTRACK.format(drop=drop),
    }
    return Counters(node=files, pod=files, drops=drops, **more)  # type: ignore[arg-type]


def lost(
    evidence: NodeEvidence = HEALTHY,
    after: Counters | None = None,
    pod: ProbeResult = TIMEOUT,
    arrived: bool = True,
    **parts: object,
) -> Capture:
    """The rules accept everything, and the pod's connect fails."""
    before, between = firewall(OPEN_RULES.format(hits=3)), firewall(OPEN_RULES.format(hits=4 if arrived else 3))
    counted = (counters(), after or counters())
    return capture(before, between, pod, evidence=evidence, counters=counted, pod_firewall=firewall(), **parts)


def with_lookup(*answers: Lookup, **parts: object) -> NodeEvidence:
    named = {item.question: item for item in answers}
    return replace(HEALTHY, lookups=tuple(named.get(item.question, item) for item in HEALTHY.lookups), **parts)  # type: ignore[arg-type]


def pod_rules(rules: str) -> object:
    return firewall(f"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}\nCOMMIT\n")


def first(taken: Capture) -> str:
    report = analyse(taken)
    assert [item.code for item in report.findings[1:] if item.severity == "critical"] == []
    return report.findings[0].code


def excluded(report: Report) -> dict[str, str]:
    return {item.what: item.because for item in report.excluded}


def test_where_nothing_is_proved_the_cause_stays_vague_and_says_what_it_is_not() -> None:
    report = analyse(lost())
    assert report.findings[0].code == "blocked-outside-input"
    assert set(excluded(report)) >= {
        "the pod's own firewall",
        "the pod's routes",
        "a wrong node IP",
        "rp_filter",
        "tc and XDP programs",
        "the way back",
        "a next hop that does not answer",
        "a full accept queue",
        "a filter on the kubelet's socket or cgroup",
        "a full conntrack table",
        "checksum errors",
    }


def test_without_evidence_nothing_is_ruled_out_and_nothing_is_named() -> None:
    report = analyse(replace(lost(), evidence=None, counters=(), pod_firewall=None))
    assert report.findings[0].code == "blocked-outside-input"
    assert set(excluded(report)) == {"kubelet down", "the pod's own network"}


@pytest.mark.parametrize(
    "evidence",
    [
        HEALTHY,
        with_lookup(replace(IN, errno="EINVAL", kind="")),
        with_lookup(replace(BACK, interface="cilium_host")),
        replace(HEALTHY, programs=(Program(hook="tcx ingress", where="veth1"), Program(hook="cgroup ingress", where="/"))),
        replace(HEALTHY, neighbours=(replace(HOP, state="FAILED"),)),
        replace(HEALTHY, mtus={"pod eth0": 9000, "node veth1": 1500}),
        replace(HEALTHY, unread=(Unread(what="tcx programs", why="no right"),)),
    ],
)
def test_a_pod_that_gets_through_is_told_of_none_of_it(evidence: NodeEvidence) -> None:
    fine = probe(Vantage.POD, Outcome.OPEN, tls=KUBELET_TLS)
    report = analyse(lost(evidence, counters(rp=1, overflows=1, csum=1, drop=1, drops=1), fine))
    assert report.state is State.REACHABLE
    assert report.findings == ()


@pytest.mark.parametrize("errno", ["EXDEV", "EINVAL"])
def test_rp_filter_is_the_lookups_no_and_its_counter(errno: str) -> None:
    refused = with_lookup(replace(IN, errno=errno, kind=""), replace(BACK, interface="eth0", gateway="192.0.2.1"))
    report = analyse(lost(refused, counters(rp=2), arrived=False))
    assert report.findings[0].code == "rp-filter"
    assert "TcpExtIPReversePathFilter rose by 2 during the probe" in {item.text for item in report.findings[0].evidence}
    assert report.disagreements == ()


def test_a_lookup_that_refuses_without_the_counter_or_the_setting_is_no_rp_filter() -> None:
    refused = with_lookup(replace(IN, errno="EXDEV", kind=""))
    assert first(lost(refused, arrived=False)) == "blocked-outside-input"
    off = replace(refused, sysctls={"conf/all/rp_filter": "0", "conf/cni0/rp_filter": "0"})
    assert first(lost(off, counters(rp=2), arrived=False)) == "blocked-outside-input"


def test_a_loose_rp_filter_is_not_told_to_become_loose() -> None:
    refused = with_lookup(replace(IN, errno="EXDEV", kind=""))
    strict, loose = (
        analyse(lost(replace(refused, sysctls={"conf/all/rp_filter": mode}), counters(rp=1), arrived=False)).findings[0]
        for mode in ("1", "2")
    )
    assert (strict.code, loose.code) == ("rp-filter", "rp-filter")
    assert ("1 (strict)" in strict.message, "2 (loose)" in loose.message) == (True, True)
    notes = [found.remedy.note if found.remedy else "" for found in (strict, loose)]
    assert ["rp_filter=2" in note for note in notes] == [True, False]


def test_rp_filter_that_keeps_arp_unanswered() -> None:
    refused = with_lookup(replace(IN, errno="EINVAL", kind=""), neighbours=(replace(HOP, state="INCOMPLETE"),))
    assert first(lost(refused, arrived=False)) == "rp-filter"


def test_rp_filter_explains_why_a_rejecting_rule_did_not_count() -> None:
    taken = lost(with_lookup(replace(IN, errno="EXDEV", kind="")), counters(rp=1))
    seed = firewall(SEED.format(hits=0))
    assert first(replace(taken, before=seed, between=seed)) == "rp-filter"


def test_a_rule_that_makes_the_same_check() -> None:
    rules = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n[{0}:0] -A PREROUTING -m rpfilter --invert -j DROP\nCOMMIT\n"
    before, between = (firewall(OPEN_RULES.format(hits=0) + rules.format(count)) for count in (0, 2))
    assert first(replace(lost(), before=before, between=between)) == "rp-filter"
    still = firewall(OPEN_RULES.format(hits=0) + rules.format(0))
    assert first(replace(lost(), before=still, between=still)) == "rule-undecided"


def test_a_source_that_the_node_holds_itself_is_a_martian() -> None:
    taken = lost(with_lookup(replace(IN, errno="EINVAL", kind="")), arrived=False)
    lo = Interface(index=9, name="dummy0", addresses=(f"{POD_IP}/32",))
    assert first(replace(taken, node=replace(taken.node, interfaces=(*taken.node.interfaces, lo)))) == "martian-source"


def test_an_answer_that_leaves_by_another_interface() -> None:
    astray = with_lookup(replace(BACK, interface="eth0", gateway="192.0.2.1"))
    report = analyse(lost(astray))
    assert report.findings[0].code == "reply-route"
    assert "the main table has no route" in report.findings[0].message
    remedy = report.findings[0].remedy
    assert remedy is not None
    assert remedy.command == "ip route replace 10.9.1.0/24 dev cni0"


def test_a_policy_rule_is_named_with_its_table() -> None:
    rule = PolicyRule(priority=100, table=7, source=f"{NODE_IP}/32")
    astray = with_lookup(replace(BACK, interface="eth0", table=7), rules=(rule, *HEALTHY.rules))
    message = analyse(lost(astray)).findings[0].message
    assert f"the policy rule 100 (from {NODE_IP}/32) leads to table 7" in message


@pytest.mark.parametrize("errno", ["ENETUNREACH", "EHOSTUNREACH", "EINVAL"])
def test_an_answer_that_has_no_way_at_all(errno: str) -> None:
    assert first(lost(with_lookup(replace(BACK, errno=errno, interface="")))) == "reply-route"


def test_an_answer_by_another_way_proves_nothing_where_a_dataplane_has_programs() -> None:
    astray = with_lookup(replace(BACK, interface="cilium_host"), programs=(Program(hook="tc ingress", where="veth1"),))
    assert first(lost(astray)) == "blocked-outside-input"


def test_a_packet_that_never_came_needs_no_way_back() -> None:
    assert first(lost(with_lookup(replace(BACK, interface="eth0")), arrived=False)) == "blocked-outside-input"


def test_a_network_that_covers_pods_is_the_cause_of_the_answers_way() -> None:
    taken = lost(with_lookup(replace(BACK, interface="tun0")))
    vpn = Route(destination="10.9.1.0/25", interface="tun0")
    report = analyse(replace(taken, node=replace(taken.node, routes=(*taken.node.routes, vpn))))
    assert report.findings[0].code == "pod-cidr-overlap"
    assert "10.9.1.0/25 by tun0" in report.findings[0].message


def test_an_address_that_no_interface_has() -> None:
    taken = lost(with_lookup(replace(IN, kind="unicast", interface="eth0")))
    links = tuple(replace(link, addresses=()) if link.name == "eth0" else link for link in taken.node.interfaces)
    report = analyse(
        replace(taken, node=replace(taken.node, interfaces=links), settings=replace(taken.settings, node_ips=(NODE_IP,)))
    )
    assert report.findings[0].code == "node-ip-foreign"


def test_an_address_that_is_local_by_a_route_alone_is_no_foreign_one_and_not_known_to_be_right() -> None:
    taken = lost()
    links = tuple(replace(link, addresses=()) if link.name == "eth0" else link for link in taken.node.interfaces)
    given = replace(taken, node=replace(taken.node, interfaces=links), settings=replace(taken.settings, node_ips=(NODE_IP,)))
    report = analyse(given)
    assert report.findings[0].code == "blocked-outside-input"
    assert "a wrong node IP" not in excluded(report)


def test_kube_proxy_holds_the_nodes_address() -> None:
    rules = (
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:KUBE-IPVS-FILTER - [0:0]\n"
        "[0:0] -A INPUT -j KUBE-IPVS-FILTER\n"
        "[{0}:0] -A KUBE-IPVS-FILTER -j REJECT --reject-with icmp-port-unreachable\nCOMMIT\n"
    )
    answer = probe(Vantage.POD, Outcome.PORT_UNREACHABLE, errno="ECONNREFUSED", icmp=(3, 3), offender=NODE_IP)
    taken = replace(lost(pod=answer), before=firewall(rules.format(0)), between=firewall(rules.format(1)))
    assert first(taken) == "input-reject"
    held = Interface(index=8, name="kube-ipvs0", kind="dummy", addresses=(f"{NODE_IP}/32",))
    assert first(replace(taken, node=replace(taken.node, interfaces=(*taken.node.interfaces, held)))) == "ipvs-node-ip"


@pytest.mark.parametrize(
    ("errno", "outcome", "word"),
    [
        ("EHOSTUNREACH", Outcome.NO_ROUTE, "unreachable"),
        ("EACCES", Outcome.NO_ROUTE, "prohibit"),
        ("ENETUNREACH", Outcome.NO_ROUTE, "no route"),
        ("EINVAL", Outcome.BLACKHOLE, "blackhole"),
    ],
)
def test_the_pods_own_routes_are_named_by_kind(errno: str, outcome: Outcome, word: str) -> None:
    refused = with_lookup(replace(OUT, errno=errno, interface="", gateway=""))
    report = analyse(lost(refused, pod=probe(Vantage.POD, outcome, errno=errno), arrived=False))
    assert report.findings[0].code == "pod-route"
    assert word in report.findings[0].message


@pytest.mark.parametrize("state", ["INCOMPLETE", "FAILED"])
@pytest.mark.parametrize("place", ["pod", "node"])
def test_a_next_hop_that_does_not_answer(place: str, state: str) -> None:
    silent = {"pod": replace(HOP, state=state), "node": Neighbour(place="node", address=POD_IP, interface="cni0", state=state)}
    taken = lost(replace(HEALTHY, neighbours=(silent[place],)), arrived=place == "node")
    assert first(taken) == "neighbour-failed"


def test_a_reject_inside_the_pod_is_told_from_the_nodes_by_who_sent_the_icmp_error() -> None:
    rule = "-A OUTPUT -p tcp -m tcp --dport 10250 -j REJECT --reject-with icmp-host-prohibited"
    own = replace(PROHIBITED, offender=POD_IP)
    assert first(replace(lost(pod=own), pod_firewall=pod_rules(rule))) == "pod-firewall"
    seed = replace(lost(pod=PROHIBITED), before=firewall(SEED.format(hits=0)), between=firewall(SEED.format(hits=1)))
    assert first(replace(seed, pod_firewall=pod_rules(rule))) == "input-reject"


@pytest.mark.parametrize(
    ("rule", "pod"),
    [
        (f"-A OUTPUT -d {NODE_IP}/32 -j DROP", TIMEOUT),
        ("-A INPUT -p tcp -m tcp --sport 10250 -j DROP", TIMEOUT),
        ("-A OUTPUT -p tcp -m tcp --dport 10250 -j REJECT --reject-with tcp-reset", RESET),
    ],
)
def test_other_rules_inside_the_pod(rule: str, pod: ProbeResult) -> None:
    assert first(replace(lost(pod=pod), pod_firewall=pod_rules(rule))) == "pod-firewall"


def test_a_mesh_that_redirects_is_named_only_where_it_takes_this_packet() -> None:
    nat = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n{0}\nCOMMIT\n"
    taken = lost(pod=RESET)
    takes = firewall(nat.format("-A OUTPUT -p tcp -j REDIRECT --to-ports 15001"))
    assert first(replace(taken, pod_firewall=takes)) == "pod-redirect"
    spares = firewall(nat.format("-A OUTPUT -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 15001"))
    assert first(replace(taken, pod_firewall=spares)) == "blocked-outside-input"


def test_a_cgroups_filter_is_the_listeners_drop_and_the_program() -> None:
    filtered = replace(
        HEALTHY,
        programs=(Program(hook="cgroup ingress", where="/system.slice/kubelet.service", number=7, name="sd_fw_ingress"),),
        unit=Unit(name="kubelet.service", properties={"IPAddressDeny": "::/0 0.0.0.0/0", "IPAddressAllow": ""}),
    )
    report = analyse(lost(filtered, counters(drops=1)))
    cause = report.findings[0]
    assert cause.code == "cgroup-filter"
    assert "sd_fw_ingress on cgroup /system.slice/kubelet.service" in cause.message
    assert "IPAddressDeny=::/0 0.0.0.0/0" in {item.text for item in cause.evidence}
    assert cause.remedy is not None
    assert cause.remedy.command == "systemctl set-property --runtime kubelet.service IPAddressAllow='10.9.1.0/24'"
    assert first(lost(filtered)) == "blocked-outside-input"


def test_a_listener_that_dropped_without_a_known_filter_is_not_blamed_on_one() -> None:
    assert first(lost(after=counters(drops=1))) == "blocked-outside-input"
    unseen = replace(HEALTHY, unread=(Unread(what="BPF filters of cgroups", why="no right"),))
    assert first(lost(unseen, counters(drops=1))) == "cgroup-filter"


def test_a_full_accept_queue() -> None:
    assert first(lost(after=counters(overflows=2, drops=2))) == "listen-overflow"


def test_a_full_conntrack_table() -> None:
    assert first(lost(after=counters(drop=1), arrived=False)) == "conntrack-full"


def test_a_wrong_checksum() -> None:
    assert first(lost(after=counters(csum=1))) == "bad-checksum"


def test_a_rule_of_somebody_else_is_not_kube_proxys_though_it_holds_the_address() -> None:
    rules = "*filter\n:INPUT ACCEPT [0:0]\n[{0}:0] -A INPUT -p tcp -j DROP\nCOMMIT\n"
    held = Interface(index=8, name="kube-ipvs0", kind="dummy", addresses=(f"{NODE_IP}/32",))
    taken = replace(lost(), before=firewall(rules.format(0)), between=firewall(rules.format(1)))
    assert first(replace(taken, node=replace(taken.node, interfaces=(*taken.node.interfaces, held)))) == "input-drop"


def test_a_program_is_not_suspected_of_an_answer_that_came() -> None:
    program = replace(HEALTHY, programs=(Program(hook="tc ingress", where="veth1", number=3, name="from-container"),))
    report = analyse(lost(program, counters(programs={}), RESET, arrived=False))
    assert report.findings[0].code == "blocked-outside-input"
    assert "tc and XDP programs" not in excluded(report)


def test_of_a_pod_that_was_not_tried_nothing_is_proved() -> None:
    refused = with_lookup(replace(OUT, errno="EINVAL", interface="", gateway=""))
    rules = pod_rules(f"-A OUTPUT -d {NODE_IP}/32 -j DROP")
    for taken, code in ((lost(refused), "pod-route"), (replace(lost(), pod_firewall=rules), "pod-firewall")):
        assert first(taken) == code
        assert find_proof(read_scene(replace(taken, probes=taken.probes[1:]))) is None


def test_a_program_that_counted_drops_or_that_let_nothing_through() -> None:
    program = replace(HEALTHY, programs=(Program(hook="tc ingress", where="veth1", number=3, name="from-container"),))
    assert first(lost(program, counters(programs={}), arrived=False)) == "interface-program"
    counted = (counters(programs={"veth1": 4}), counters(programs={"veth1": 5}))
    assert first(replace(lost(program), counters=counted)) == "interface-program"
    assert first(lost(program)) == "blocked-outside-input"


def test_large_packets_that_do_not_come_through() -> None:
    hangs = probe(Vantage.POD, Outcome.OPEN, tls=Tls(ok=False, error="no answer in time", seconds=2.0))
    differ = replace(HEALTHY, mtus={"pod eth0": 1500, "node veth1": 1400, "node cni0": 1500})
    report = analyse(lost(differ, pod=hangs))
    assert [finding.code for finding in report.findings] == ["mtu-mismatch"], "the handshake that hangs is no cause beside it"
    assert report.findings[0].witnesses["kernel"] == "agrees"
    assert analyse(lost(pod=hangs)).findings[0].code != "mtu-mismatch"
    refused = replace(hangs, tls=Tls(ok=False, error="alert", seconds=0.002))
    assert analyse(lost(differ, pod=refused)).findings[0].code != "mtu-mismatch"


def test_a_kubelet_that_hangs_for_everybody_is_no_matter_of_sizes() -> None:
    hangs = Tls(ok=False, error="no answer in time", seconds=2.0)
    differ = replace(HEALTHY, mtus={"pod eth0": 1500, "node veth1": 1400, "node cni0": 1500})
    seen = lost(differ, pod=probe(Vantage.POD, Outcome.OPEN, tls=hangs))
    deaf = [replace(item, tls=hangs) if item.request.vantage is Vantage.HOST else item for item in seen.probes]
    assert first(replace(seen, probes=tuple(deaf))) == "tls-failed"
