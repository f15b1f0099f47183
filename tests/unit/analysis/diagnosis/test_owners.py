"""Whose rule, which story: causes that owners' rules, limits and answers make, each beside its lookalike."""

from dataclasses import replace

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.model.capture import NFT_JSON, Capture, Firewall, Interface, Reading
from agent.model.explanation import Verdict
from agent.model.probe import Outcome, ProbeRequest, ProbeResult, Vantage
from agent.model.report import Finding, Report, Severity, State, Word
from agent.model.settings import Settings

from .captures import HOST_OPEN, KUBELET_TLS, NODE_IP, PEER_OPEN, PROHIBITED, capture, firewall, probe

TIMED_OUT = probe(Vantage.POD, Outcome.TIMEOUT, errno="ETIMEDOUT")
RESET = probe(Vantage.POD, Outcome.RESET, errno="ECONNREFUSED")
OPEN = probe(Vantage.POD, Outcome.OPEN, tls=KUBELET_TLS)
PODS_OPEN = "-s 10.9.1.0/24 -p tcp -m tcp --dport 10250 -j ACCEPT"
HOST_PROHIBITED = "-j REJECT --reject-with icmp-host-prohibited"
END = "COMMIT\n"


def text(*lines: str, policy: str = "ACCEPT", hit: tuple[str, int] = ("", 0), hits: int = 0, before: str = "") -> str:
    """A filter table of lines `CHAIN rule`, rule `hit` with that many hits; ("INPUT", 0) is the policy."""
    counts: dict[str, int] = {}
    rules = []
    for line in lines:
        chain, _, rest = line.partition(" ")
        counts[chain] = counts.get(chain, 0) + 1
        packets = hits if hit == (chain, counts[chain]) else 0
        rules.append(f"[{packets}:0] -A {chain} {rest}\n")
    own = "".join(f":{chain} - [0:0]\n" for chain in counts if chain not in ("INPUT", "OUTPUT"))
    top = f"*filter\n:INPUT {policy} [{hits if hit == ('INPUT', 0) else 0}:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    return f"{before}{top}{own}{''.join(rules)}{END}"


def seen(
    *lines: str, hit: tuple[str, int], pod: ProbeResult = TIMED_OUT, policy: str = "ACCEPT", before: str = "", **parts: object
) -> Capture:
    """A capture in which that rule counted the pod's packet."""
    quiet, counted = (text(*lines, policy=policy, hit=hit, hits=hits, before=before) for hits in (0, 1))
    return capture(firewall(quiet), firewall(counted), pod, **parts)  # type: ignore[arg-type]


def cause(report: Report) -> Finding:
    assert report.cause is not None, report
    return report.cause


@pytest.mark.parametrize(
    ("taken", "code", "words"),
    [
        pytest.param(
            seen("INPUT -j ufw-before-input", "ufw-before-input -i lo -j ACCEPT", hit=("INPUT", 0), policy="DROP"),
            "ufw-block",
            "ufw's default",
            id="ufw's default is INPUT's policy",
        ),
        pytest.param(
            seen(
                "INPUT -j INPUT_ZONES",
                f"INPUT {HOST_PROHIBITED}",
                "INPUT_ZONES -i lo -j ACCEPT",
                hit=("INPUT", 2),
                pod=PROHIBITED,
            ),
            "firewalld-reject",
            "belongs to firewalld",
            id="firewalld's iptables backend",
        ),
        pytest.param(
            seen("INPUT -j ts-input", "ts-input -s 10.0.0.0/8 ! -i tailscale0 -j DROP", hit=("ts-input", 1)),
            "tailscale-drop",
            "by tailscale0",
            id="tailscale",
        ),
        pytest.param(
            seen("INPUT -j f2b-x", "f2b-x -s 10.9.1.5/32 -j DROP", hit=("f2b-x", 1)),
            "pod-banned",
            "banned 10.9.1.5",
            id="fail2ban",
        ),
        pytest.param(
            seen("INPUT -i cni0 -g cali-wl-to-host", "cali-wl-to-host -j DROP", hit=("cali-wl-to-host", 1)),
            "endpoint-to-host-drop",
            "DefaultEndpointToHostAction",
            id="calico, pods to their host",
        ),
        pytest.param(
            seen("INPUT -j cali-fh-eth0", "cali-fh-eth0 -j DROP", hit=("cali-fh-eth0", 1)),
            "host-endpoint-deny",
            "host endpoint",
            id="calico, a host endpoint",
        ),
        pytest.param(
            seen("INPUT -j cali-fw-1", "cali-fw-1 -j DROP", hit=("cali-fw-1", 1)),
            "policy-engine-block",
            "somebody's policy",
            id="calico, a policy",
        ),
        pytest.param(
            seen(
                "INPUT -s 10.9.1.0/24 -j MARK --set-xmark 0x8000/0x8000",
                "INPUT -j KUBE-FIREWALL",
                "KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP",
                hit=("KUBE-FIREWALL", 1),
            ),
            "kube-firewall-drop",
            "got its mark from rule 1 of filter INPUT",
            id="a foreign mark",
        ),
        pytest.param(
            seen(
                "INPUT -s 192.0.2.0/24 -p tcp -m state --state NEW -m tcp --dport 10250 -j ACCEPT",
                "INPUT -j OPENINGS",
                "INPUT -j DROP",
                "OPENINGS -s 192.0.2.0/24 -p tcp -m tcp --dport 10250 -j ACCEPT",
                hit=("INPUT", 3),
            ),
            "accept-too-narrow",
            "not for 10.9.1.5",
            id="too narrow",
        ),
        pytest.param(
            seen(
                "INPUT -j OPENINGS",
                "INPUT -j DROP",
                "OPENINGS -s 192.0.2.0/24 -p tcp -m tcp --dport 10250 -j ACCEPT",
                hit=("INPUT", 2),
            ),
            "accept-too-narrow",
            "Rule 1 of OPENINGS",
            id="too narrow, in a chain that INPUT jumps to",
        ),
    ],
)
def test_an_owners_rule_has_its_owners_story(taken: Capture, code: str, words: str) -> None:
    found = cause(analyse(taken))
    assert (found.code, words in found.message) == (code, True), found.message


def test_the_remedy_for_ufws_default_is_ufws() -> None:
    taken = seen("INPUT -j ufw-before-input", "ufw-before-input -i lo -j ACCEPT", hit=("INPUT", 0), policy="DROP")
    remedy = cause(analyse(taken)).remedy
    assert remedy is not None
    assert remedy.command.startswith("ufw insert 1 allow from 10.9.1.0/24")


RAW = "*raw\n:PREROUTING ACCEPT [0:0]\n[{hits}:0] -A PREROUTING {rule}\nCOMMIT\n"


def test_an_accept_in_another_chain_that_is_overruled_is_told_from_none_at_all() -> None:
    before = [RAW.format(hits=hits, rule="-s 10.9.1.0/24 -j DROP") for hits in (0, 1)]
    overruled = [firewall(text(f"INPUT {PODS_OPEN}", before=each)) for each in before]
    bare = [firewall(text("INPUT -i lo -j ACCEPT", before=each)) for each in before]
    assert cause(analyse(capture(*overruled, TIMED_OUT))).code == "accept-overruled"
    assert cause(analyse(capture(*bare, TIMED_OUT))).code == "input-drop"


def test_an_accept_for_new_connections_does_not_match_what_conntrack_never_saw() -> None:
    new = "INPUT -s 10.9.1.0/24 -p tcp -m state --state NEW -m tcp --dport 10250 -j ACCEPT"
    untracked = RAW.format(hits=0, rule="-p tcp -m tcp --dport 10250 -j CT --notrack")
    taken = seen(new, f"INPUT {HOST_PROHIBITED}", hit=("INPUT", 2), pod=PROHIBITED, before=untracked)
    found = cause(analyse(taken))
    assert found.code == "notrack-defeats-accept"
    assert "rule 1 of raw PREROUTING" in found.message


LIMITED = "INPUT -s 10.9.1.0/24 -p tcp -m tcp --dport 10250 -m limit --limit 1/hour --limit-burst 2 -j ACCEPT"


def test_a_limit_that_is_used_up_is_told_by_the_counter_behind_it() -> None:
    report = analyse(seen(LIMITED, f"INPUT {HOST_PROHIBITED}", hit=("INPUT", 2), pod=PROHIBITED))
    found = cause(report)
    assert found.code == "rate-limited"
    assert "counted by rule 2 of filter INPUT" in found.message
    assert report.explanation is not None
    assert report.explanation.verdict is Verdict.UNDECIDED
    assert found.remedy is not None
    assert " -I INPUT 1 " in found.remedy.command


def test_a_limit_whose_own_rule_stops_the_packet_is_told_by_its_own_counter() -> None:
    above = "INPUT -p tcp -m connlimit --connlimit-above 0 -j REJECT --reject-with tcp-reset"
    found = cause(analyse(seen(above, hit=("INPUT", 1), pod=RESET)))
    assert (found.code, "that rule itself" in found.message) == ("rate-limited", True)


def test_a_limit_without_a_counter_that_rose_stays_undecided() -> None:
    quiet = text(LIMITED, f"INPUT {HOST_PROHIBITED}")
    assert cause(analyse(capture(firewall(quiet), firewall(quiet), PROHIBITED))).code == "rule-undecided"


NO_ERRORS = "OUTPUT -p icmp -m icmp --icmp-type 3 -j DROP"
NO_RESETS = "OUTPUT -p tcp -m tcp --tcp-flags RST RST -j DROP"
RELATED = "OUTPUT -m state --state RELATED,ESTABLISHED -j ACCEPT"
BY_RESET = "INPUT -p tcp -j REJECT --reject-with tcp-reset"


def test_a_reject_whose_answer_is_dropped_is_no_contradiction_but_a_cause() -> None:
    report = analyse(seen(f"INPUT {HOST_PROHIBITED}", NO_ERRORS, hit=("INPUT", 1)))
    found = cause(report)
    assert found.code == "reject-silenced"
    assert "rule 1 of filter OUTPUT" in found.message
    assert (found.witnesses["probe"], found.witnesses["icmp"]) == (Word.AGREES, Word.SILENT)
    assert report.disagreements == ()


def test_the_answer_of_a_reject_is_related_and_gets_out_where_that_is_accepted() -> None:
    taken = seen(f"INPUT {HOST_PROHIBITED}", RELATED, NO_ERRORS, hit=("INPUT", 1), pod=PROHIBITED)
    assert cause(analyse(taken)).code == "input-reject"


def test_a_silenced_reject_whose_error_came_all_the_same_is_a_contradiction() -> None:
    taken = seen(f"INPUT {HOST_PROHIBITED}", NO_ERRORS, hit=("INPUT", 1), pod=PROHIBITED)
    assert cause(analyse(taken)).code == "witnesses-disagree"


@pytest.mark.parametrize(
    ("pod", "code"), [(RESET, "input-reject"), (TIMED_OUT, "reject-silenced")], ids=["it got out", "it did not"]
)
def test_whether_a_reset_to_a_bridges_port_meets_output_is_told_by_the_connect(pod: ProbeResult, code: str) -> None:
    assert cause(analyse(seen(BY_RESET, NO_RESETS, hit=("INPUT", 1), pod=pod))).code == code


SECOND = Interface(index=4, name="cni1", kind="bridge", addresses=("10.9.7.1/24",))


def two_networks(taken: Capture) -> Capture:
    settings = Settings(pod_cidrs=("10.9.1.0/24", "10.9.7.0/24"))
    return replace(taken, node=replace(taken.node, interfaces=(*taken.node.interfaces, SECOND)), settings=settings)


def test_an_accept_for_the_other_pod_network_is_named_as_that() -> None:
    other = "INPUT -s 10.9.7.0/24 -p tcp -m tcp --dport 10250 -j ACCEPT"
    found = cause(analyse(two_networks(seen(other, "INPUT -j DROP", hit=("INPUT", 2)))))
    assert found.code == "accept-too-narrow"
    assert "10.9.7.0/24, another pod network of this node" in found.message


def test_a_pod_network_that_was_forgotten_is_a_warning_with_its_own_remedy() -> None:
    report = analyse(two_networks(seen(f"INPUT {PODS_OPEN}", "INPUT -j DROP", hit=("INPUT", 1), pod=OPEN)))
    found = cause(report)
    assert (report.state, found.code, found.severity) == (State.DEGRADED, "pod-cidr-left-out", Severity.WARNING)
    assert found.remedy is not None
    assert " -I INPUT 2 -s 10.9.7.0/24 " in found.remedy.command


def test_a_second_network_that_is_open_too_is_no_finding() -> None:
    both = "INPUT -s 10.9.0.0/16 -p tcp -m tcp --dport 10250 -j ACCEPT"
    report = analyse(two_networks(seen(both, "INPUT -j DROP", hit=("INPUT", 1), pod=OPEN)))
    assert (report.state, report.cause) == (State.REACHABLE, None)


NODE6, POD6 = "fd00::10", "fd00:9::5"


def over_ipv6(outcome: Outcome, **parts: object) -> ProbeResult:
    request = ProbeRequest(vantage=Vantage.POD, namespace=42, source=POD6, target=NODE6, port=10250)
    return ProbeResult(request=request, outcome=outcome, source=POD6, sport=40001, **parts)  # type: ignore[arg-type]


def dual(*lines6: str, hit: tuple[str, int], pod: ProbeResult, pod6: ProbeResult) -> Capture:
    """IPv4 without a rule; IPv6 with these lines of ip6tables."""
    readings = [
        Firewall(
            readings=(
                Reading(name="ip6tables-legacy-save", argv=("x",), status=0, stdout=text(*lines6, hit=hit, hits=hits)),
                Reading(name=NFT_JSON, argv=("nft",), status=0, stdout='{"nftables": []}'),
            ),
            legacy_tables6=("filter",),
        )
        for hits in (0, 1)
    ]
    settings = Settings(node_ips=(NODE_IP, NODE6), pod_cidrs=("10.9.1.0/24", "fd00:9::/64"))
    return replace(capture(*readings, pod), probes=(pod, pod6, HOST_OPEN, PEER_OPEN), settings=settings)


REJECT6 = "INPUT -j REJECT --reject-with icmp6-adm-prohibited"
PROHIBITED6 = over_ipv6(Outcome.ADMIN_PROHIBITED, errno="EACCES", icmp=(1, 1), offender=NODE6)


def test_a_family_that_is_stopped_beside_one_that_works_is_a_warning() -> None:
    report = analyse(dual(REJECT6, hit=("INPUT", 1), pod=OPEN, pod6=PROHIBITED6))
    found = cause(report)
    assert (report.state, found.code) == (State.DEGRADED, "other-family-blocked")
    assert "IPv4 works, and IPv6 does not" in found.message
    assert "input-reject" in found.message
    assert found.remedy is not None
    assert found.remedy.command.startswith("ip6tables-legacy -w -I INPUT 1")


def test_two_families_that_work_are_no_finding() -> None:
    report = analyse(dual("INPUT -i lo -j ACCEPT", hit=("", 0), pod=OPEN, pod6=over_ipv6(Outcome.OPEN, tls=KUBELET_TLS)))
    assert (report.state, report.cause) == (State.REACHABLE, None)


def test_a_first_family_that_is_stopped_stays_the_cause() -> None:
    quiet = dual(REJECT6, hit=("INPUT", 1), pod=RESET, pod6=PROHIBITED6)
    report = analyse(replace(quiet, processes=replace(quiet.processes, listeners=())))
    assert [item.severity for item in report.findings[:2]] == [Severity.CRITICAL, Severity.WARNING]
    assert report.findings[0].code == "kubelet-not-listening"
    assert "stopped as well" in report.findings[1].message
