"""agent.analysis.diagnosis.diagnose and the rooms behind it: which cause is named, and which is not, for what was seen."""

import json
from dataclasses import replace

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.model.capture import Capture, Firewall, LegacyChain, LegacyRule, Node, NodeObject, Problem, Processes, Stage
from agent.model.codec import to_plain
from agent.model.phantom import Phantom
from agent.model.probe import Outcome, ProbeResult, Tls, Vantage
from agent.model.report import Report, State, Word
from agent.render.text import report as page

from .captures import HOST_OPEN, LISTENER, NODE_IP, PEER_OPEN, PROHIBITED, SEED, capture, firewall, probe

CHAIN = "*filter\n:INPUT {policy} [{policy_hits}:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n"
TIMED_OUT = probe(Vantage.POD, Outcome.TIMEOUT, errno="ETIMEDOUT")
RESET = probe(Vantage.POD, Outcome.RESET, errno="ECONNREFUSED")
OPEN = probe(Vantage.POD, Outcome.OPEN, tls=Tls(ok=True, version="TLSv1.3", http_status=401))


def chain(*rules: str, policy: str = "ACCEPT", hits: dict[int, int] | None = None) -> Firewall:
    """A legacy filter INPUT chain; `hits` gives counters by rule number, 0 for the policy."""
    counts = hits or {}
    lines = "".join(f"[{counts.get(number, 0)}:0] -A INPUT {rule}\n" for number, rule in enumerate(rules, 1))
    return firewall(CHAIN.format(policy=policy, policy_hits=counts.get(0, 0), rules=lines))


def around(*rules: str, policy: str = "ACCEPT", hit: int, pod: ProbeResult, **parts: object) -> Capture:
    """A capture in which rule `hit` (0: the policy) counted one packet during the pod's probe."""
    return capture(chain(*rules, policy=policy), chain(*rules, policy=policy, hits={hit: 1}), pod, **parts)  # type: ignore[arg-type]


def code(report: Report) -> str | None:
    return report.cause.code if report.cause else None


def test_the_seed_incident_is_named_with_every_witness_that_can_speak() -> None:
    report = analyse(capture())
    assert (report.state, code(report)) == (State.BLOCKED, "input-reject")
    assert report.explanation is not None
    assert report.explanation.decided_by is not None
    assert report.explanation.decided_by.rule_number == 5
    assert report.summary == (
        "Pods cannot reach this node's kubelet at 192.0.2.10:10250: "
        "rule 5 of filter INPUT (iptables-legacy) answers icmp-host-prohibited."
    )
    assert report.cause is not None
    assert report.cause.witnesses == {
        "model": Word.AGREES,
        "probe": Word.AGREES,
        "counters": Word.AGREES,
        "icmp": Word.AGREES,
        "reader": Word.ABSENT,
        "twin": Word.ABSENT,
    }
    assert report.cause.remedy is not None
    assert report.cause.remedy.command.startswith(
        "iptables-legacy -w -I INPUT 5 -s 10.9.1.0/24 -d 192.0.2.10 -p tcp --dport 10250"
    )
    assert report.disagreements == ()


def test_the_story_says_why_the_host_and_the_other_node_are_fine() -> None:
    story = analyse(capture()).why_only_this_node
    assert "comes in by lo and rule 3 of filter INPUT (iptables-legacy) accepts it" in story
    assert "masqueraded to the node's address by rule 1 of nat POSTROUTING" in story
    assert "arrives by cni0 still as 10.9.1.5" in story


def test_the_same_capture_gives_the_same_bytes() -> None:
    assert json.dumps(to_plain(analyse(capture()))) == json.dumps(to_plain(analyse(capture())))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(around("-s 192.0.2.0/24 -j ACCEPT", "-j DROP", hit=2, pod=TIMED_OUT), "input-drop", id="drop rule"),
        pytest.param(around("-i lo -j ACCEPT", policy="DROP", hit=0, pod=TIMED_OUT), "input-policy-drop", id="policy"),
        pytest.param(
            around("-s 192.0.2.0/24 -p tcp -m tcp --dport 10250 -j ACCEPT", "-j DROP", hit=2, pod=TIMED_OUT),
            "accept-too-narrow",
            id="opened for the node subnet only",
        ),
        pytest.param(
            around("-j DROP", "-s 10.9.1.0/24 -p tcp -m tcp --dport 10250 -j ACCEPT", hit=1, pod=TIMED_OUT),
            "accept-after-block",
            id="accept behind the block",
        ),
        pytest.param(
            around("-j REJECT --reject-with tcp-reset", hit=1, pod=RESET), "input-reject", id="tcp-reset with a live listener"
        ),
        pytest.param(around(hit=0, pod=RESET, listeners=()), "kubelet-not-listening", id="nobody listens"),
        pytest.param(
            around(hit=0, pod=RESET, listeners=(replace(LISTENER, address="127.0.0.1"),)),
            "kubelet-bound-elsewhere",
            id="listens elsewhere",
        ),
        pytest.param(around(hit=0, pod=TIMED_OUT), "blocked-outside-input", id="rules accept, nothing comes back"),
        pytest.param(
            around(hit=0, pod=probe(Vantage.POD, Outcome.NO_ROUTE, errno="EHOSTUNREACH")), "pod-route", id="the pod's own route"
        ),
        pytest.param(
            around("-m statistic --mode random --probability 0.5 -j DROP", hit=1, pod=TIMED_OUT),
            "rule-undecided",
            id="chance cannot be decided",
        ),
        pytest.param(around("-j DROP", hit=1, pod=PROHIBITED), "witnesses-disagree", id="rules drop, an ICMP came back"),
        pytest.param(
            capture(chain("-j DROP"), chain("-j DROP"), TIMED_OUT),
            "witnesses-disagree",
            id="the deciding rule's counter stood still",
        ),
        pytest.param(around("-j DROP", hit=1, pod=OPEN), "witnesses-disagree", id="rules drop, the connect is open"),
    ],
)
def test_what_was_seen_leads_to_its_cause(seen: Capture, expected: str) -> None:
    assert code(analyse(seen)) == expected


def test_an_icmp_error_that_the_kernel_held_back_is_no_contradiction() -> None:
    report = analyse(capture(pod=TIMED_OUT))
    assert code(report) == "input-reject"
    assert report.cause is not None
    assert (report.cause.witnesses["probe"], report.cause.witnesses["counters"]) == (Word.SILENT, Word.AGREES)
    still = capture(between=firewall(SEED.format(hits=0)), pod=TIMED_OUT)
    assert code(analyse(still)) == "witnesses-disagree"


def test_a_healthy_node_gets_no_finding() -> None:
    report = analyse(around(hit=0, pod=OPEN))
    assert (report.state, report.findings) == (State.REACHABLE, ())
    assert report.summary == "Pods on this node reach its kubelet at 192.0.2.10:10250."


def test_an_undecided_ruleset_that_let_the_packet_through_is_only_information() -> None:
    report = analyse(around("-m limit --limit 1/min -j DROP", hit=0, pod=OPEN))
    assert (report.state, report.cause) == (State.REACHABLE, None)
    assert [finding.code for finding in report.findings] == ["model-undecided"]


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        (Tls(ok=False, error="handshake failure"), "tls-failed"),
        (Tls(ok=True, http_status=503), "http-failed"),
        (Tls(ok=True, http_error="no status line"), "http-failed"),
    ],
)
def test_an_open_port_that_answers_wrongly_is_degraded(tls: Tls, expected: str) -> None:
    report = analyse(around(hit=0, pod=replace(OPEN, tls=tls)))
    assert (report.state, code(report)) == (State.DEGRADED, expected)


def test_where_witnesses_disagree_the_page_says_so_first_and_no_rule_is_called_the_cause() -> None:
    report = analyse(around("-j DROP", hit=1, pod=PROHIBITED))
    assert report.state is State.BLOCKED
    assert "rule 1" not in report.summary
    assert report.disagreements
    lines = page(report).splitlines()
    assert lines[2].startswith("WITNESSES DISAGREE")
    assert "the rule that decides" not in lines


def test_without_a_pod_the_model_may_say_blocked_and_says_that_no_packet_was_sent() -> None:
    seen = capture(pod=None)
    report = analyse(replace(seen, node=replace(seen.node, namespaces=())))
    assert report.state is State.BLOCKED
    assert report.summary.endswith("no real packet was sent.")
    assert report.cause is not None
    assert report.cause.witnesses["probe"] is Word.ABSENT


def test_without_a_pod_a_rule_that_another_reading_contradicts_is_not_blamed() -> None:
    other = LegacyChain(policy="ACCEPT", rules=(LegacyRule(number=1, target="ACCEPT"),))
    report = analyse(capture(pod=None, legacy_chain=other))
    assert (report.state, code(report)) == (State.UNKNOWN, "witnesses-disagree")
    assert "do not act on it" in (report.cause.message if report.cause else "")


def test_without_a_pod_an_accepting_ruleset_is_unknown_and_never_reachable() -> None:
    report = analyse(capture(chain(), chain(), None))
    assert (report.state, report.findings) == (State.UNKNOWN, ())


def test_without_a_pod_a_refused_host_tells_that_nobody_listens() -> None:
    refused = replace(HOST_OPEN, outcome=Outcome.RESET, errno="ECONNREFUSED", tls=None)
    assert code(analyse(capture(chain(), chain(), None, listeners=(), probes=(refused,)))) == "kubelet-not-listening"


def test_a_process_that_could_see_nothing_names_no_cause() -> None:
    seen = capture(firewall(), firewall(), None, listeners=(), probes=())
    report = analyse(replace(seen, node=replace(seen.node, interfaces=(), routes=(), namespaces=())))
    assert (report.state, report.findings) == (State.UNKNOWN, ())
    assert report.summary == "This does not look like a Kubernetes node: neither a kubelet process nor a pod network was found."


def test_a_pod_that_died_is_unknown_with_the_reason() -> None:
    report = analyse(capture(chain(), chain(), probe(Vantage.POD, Outcome.POD_GONE, detail="its namespace vanished")))
    assert report.state is State.UNKNOWN
    assert "its namespace vanished" in report.summary


def test_a_second_reading_that_differs_takes_the_blame_off_the_rule() -> None:
    other = LegacyChain(policy="ACCEPT", rules=(LegacyRule(number=1, target="ACCEPT"),))
    report = analyse(capture(legacy_chain=other))
    assert code(report) == "witnesses-disagree"
    assert report.disagreements == ("reader: iptables-legacy-save shows 5 rules in INPUT, python-iptables 1",)


def test_a_second_reading_that_agrees_is_a_witness() -> None:
    rules = (
        LegacyRule(number=1, target="ACCEPT", matches=("conntrack",)),
        LegacyRule(number=2, target="ACCEPT", protocol="icmp"),
        LegacyRule(number=3, target="ACCEPT", in_interface="lo"),
        LegacyRule(number=4, target="ACCEPT", source="192.0.2.0/255.255.255.0"),
        LegacyRule(number=5, target="REJECT"),
    )
    report = analyse(capture(legacy_chain=LegacyChain(policy="ACCEPT", rules=rules)))
    assert report.cause is not None
    assert report.cause.witnesses["reader"] is Word.AGREES


def test_a_ruleset_that_changed_during_the_probe_silences_the_counters() -> None:
    report = analyse(capture(chain("-j DROP"), chain("-j LOG", "-j DROP"), TIMED_OUT))
    assert report.cause is not None
    assert report.cause.witnesses["counters"] is Word.ABSENT


def test_what_is_ruled_out_is_said_with_its_reason() -> None:
    excluded = {item.what: item.because for item in analyse(capture()).excluded}
    assert excluded["kubelet down"] == "the host's own connect is open and answers HTTP 401"
    assert "the same pod reaches 192.0.2.11:10250" in excluded["the pod's own network"]
    without_host = analyse(capture(probes=(PROHIBITED,)))
    assert without_host.excluded[0].because == "kubelet (pid 7) listens on :::10250"


def test_conflicting_facts_are_told_beside_the_cause() -> None:
    report = analyse(capture(node_object=NodeObject(pod_cidrs=("10.9.1.0/25",))))
    assert [finding.code for finding in report.findings] == ["input-reject", "facts-conflict"]


def test_everything_that_could_not_be_looked_at_is_listed_once() -> None:
    blind = Problem(what="nft", why="not permitted", remedy="Run as root.")
    report = analyse(
        capture(
            problems=(blind, blind), processes=Processes(problem="psutil is missing"), node_object=NodeObject(problem="down")
        )
    )
    assert report.problems[:3] == ("nft: not permitted. Run as root.", "processes: psutil is missing", "Node object: down")


def test_a_pods_own_firewall_that_could_not_be_read_is_listed() -> None:
    unread = Problem(what="the pod's nft-json", why="nft did not end in time")
    report = analyse(capture(pod_firewall=Firewall(problems=(unread,))))
    assert "the pod's nft-json: nft did not end in time" in report.problems


def test_timings_and_facts_reach_the_report() -> None:
    report = analyse(capture(stages=(Stage(name="total", seconds=0.12345),)))
    assert report.seconds == {"total": 0.1235}
    assert ("pod packets come in by", "cni0") in [(fact.name, fact.value) for fact in report.facts]
    assert page(report).rstrip().endswith("took 0.12 s")


def test_a_phantom_pod_is_a_fact_only_where_one_was_made() -> None:
    made = Phantom(address="10.9.1.77", how="the plugin bridge")
    facts = [
        {fact.name: fact.value for fact in analyse(capture(phantom=each)).facts} for each in (made, Phantom(problem="no CNI"))
    ]
    assert facts[0]["phantom pod"] == "10.9.1.77, made for this look through the plugin bridge and taken back"
    assert "phantom pod" not in facts[1]


def test_two_backends_where_the_other_one_looks_clean() -> None:
    clean = {
        "nftables": [
            {"table": {"family": "ip", "name": "filter", "handle": 1}},
            {
                "chain": {
                    "family": "ip",
                    "table": "filter",
                    "name": "INPUT",
                    "handle": 1,
                    "type": "filter",
                    "hook": "input",
                    "prio": 0,
                    "policy": "accept",
                }
            },
        ]
    }
    nft = json.dumps(clean)
    seen = capture(firewall(SEED.format(hits=0), nft), firewall(SEED.format(hits=1), nft))
    report = analyse(seen)
    assert code(report) == "mixed-backends"
    assert report.cause is not None
    assert report.cause.remedy is not None
    assert report.cause.remedy.command.startswith("iptables-legacy ")


def test_the_host_and_peer_are_not_contrasted_when_they_fail_too() -> None:
    failing = (PROHIBITED, replace(HOST_OPEN, outcome=Outcome.TIMEOUT), replace(PEER_OPEN, outcome=Outcome.TIMEOUT))
    assert analyse(capture(probes=failing)).why_only_this_node == ""


def test_a_dead_kubelet_puts_no_blame_on_the_firewall() -> None:
    refused = replace(HOST_OPEN, outcome=Outcome.RESET, errno="ECONNREFUSED", tls=None)
    report = analyse(around(hit=0, pod=RESET, listeners=(), probes=(RESET, refused, PEER_OPEN)))
    assert report.why_only_this_node == ""
    assert "the firewall lets it in" in page(report).splitlines()


def test_ipv6_targets_are_written_in_brackets() -> None:
    request = replace(PROHIBITED.request, target="2001:db8::1")
    seen = capture(probes=(replace(PROHIBITED, request=request, source="2001:db8::2"),))
    assert analyse(seen).probes[0].to == "[2001:db8::1]:10250"


def test_without_a_node_address_of_the_pods_ip_version_there_is_no_packet_to_explain() -> None:
    request = replace(PROHIBITED.request, source="2001:db8::2", target="2001:db8::1")
    seen = capture(probes=(replace(PROHIBITED, request=request, source="2001:db8::2"),))
    report = analyse(seen)
    assert report.explanation is None
    assert report.summary.startswith("Pods cannot reach this node's kubelet at 192.0.2.10:10250:")


def test_a_node_without_an_address_is_named_by_the_port() -> None:
    report = analyse(capture(node=Node(hostname="n1"), probes=(), pod_routes=()))
    assert (report.state, report.explanation) == (State.UNKNOWN, None)


def test_the_page_names_the_probes_side_by_side() -> None:
    text = page(analyse(capture()))
    assert f"pod   10.9.1.5 -> {NODE_IP}:10250" in text
    assert "EHOSTUNREACH, ICMP 3/10" in text
    assert "what would fix it (nothing was changed)" in text
