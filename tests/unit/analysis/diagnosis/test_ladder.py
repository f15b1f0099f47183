"""The first rung that fails is the answer; what nobody minds is information; a stopped pod has a cause of its own."""

from dataclasses import replace

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.model.capture import Configured, Listener, Process, Processes
from agent.model.probe import Outcome, Tls, Vantage
from agent.model.report import Severity, State, Word
from agent.model.scrape import Asked, NameAnswer, NameLookup, Question, Trust
from tests.unit.analysis.diagnosis.captures import LISTENER, NODE_IP, capture, firewall, probe

GOOD = Tls(
    ok=True,
    version="TLSv1.3",
    subject="CN=system:node:n1",
    issuer="CN=kubernetes",
    sans=("DNS:n1", f"IP:{NODE_IP}"),
    self_signed=False,
    not_before="2025-01-01T00:00:00Z",
    not_after="2027-01-01T00:00:00Z",
    http_status=401,
    first_byte_seconds=0.001,
)
POD_OPEN = probe(Vantage.POD, Outcome.OPEN, tls=GOOD)
ENDED = replace(GOOD, not_after="2025-06-01T00:00:00Z")
KUBELET = Process(pid=7, name="kubelet", argv=("kubelet",))
BY_ADDRESS = "--kubelet-preferred-address-types=InternalIP"


def server(*flags, namespace=5):
    return Process(pid=9, name="metrics-server", argv=("/metrics-server", *flags), namespace=namespace)


def in_file(*said):
    """What the kubelet's file says, as (key, value)."""
    return tuple(Configured(program="kubelet", path="/c", key=key, value=value) for key, value in said)


def reached(tls=GOOD, *processes, listeners=(LISTENER,), configured=(), **parts):
    """A pod that arrives, and the report of what its scrape would meet."""
    given = capture(firewall("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"), pod=probe(Vantage.POD, Outcome.OPEN, tls=tls), **parts)
    seen = Processes(processes=(KUBELET, *processes), listeners=listeners, configured=configured)
    return analyse(replace(given, processes=seen))


def codes(report):
    return [finding.code for finding in report.findings]


def looked_up(answer, addresses=(), detail=""):
    question = Question(name="n1.", kind="A", server="10.96.0.10")
    return NameLookup(
        name="n1", namespace=5, asked=(Asked(question=question, answer=answer, addresses=addresses, detail=detail),)
    )


def test_a_scrape_in_order_finds_nothing():
    report = reached()
    assert (report.state, report.findings) == (State.REACHABLE, ())


@pytest.mark.parametrize(
    ("tls", "code", "line"),
    [
        (
            Tls(ok=False, error="tlsv1 alert internal error", alert="internal error"),
            "kubelet-no-certificate",
            "remote error: tls: internal error",
        ),
        (
            Tls(ok=False, error="sslv3 alert handshake failure", alert="handshake failure"),
            "tls-failed",
            "remote error: tls: handshake failure",
        ),
        (Tls(ok=False, error="no answer in time"), "tls-failed", None),
        (ENDED, "certificate-expired", "is after 2025-06-01T00:00:00Z"),
        (replace(GOOD, http_status=None, http_error="no answer in time"), "kubelet-slow", "context deadline exceeded"),
        (replace(GOOD, http_status=None, http_error="it closed the connection without an answer"), "http-failed", None),
        (replace(GOOD, http_status=500), "http-failed", 'request failed, status: "500 Internal Server Error"'),
        (replace(GOOD, http_status=404), "http-failed", 'request failed, status: "404 Not Found"'),
        (replace(GOOD, http_status=599), "http-failed", 'request failed, status: "599"'),
    ],
)
def test_each_rung_has_its_cause_and_its_line_in_the_log(tls, code, line):
    report = reached(tls)
    assert (report.state, codes(report)) == (State.DEGRADED, [code])
    lines = [item.text for item in report.findings[0].evidence if item.witness == "log"]
    assert lines == [] if line is None else line in lines[0]


def test_the_rungs_below_are_the_evidence_and_their_own_word_is_silence():
    finding = reached(ENDED).findings[0]
    assert list(finding.witnesses) == ["tcp", "tls", "certificate", "log"]
    assert [name for name, word in finding.witnesses.items() if word is Word.AGREES] == ["certificate"]
    assert any("InternalIP 192.0.2.10 is named" in item.text for item in finding.evidence)


def test_only_the_first_rung_that_fails_is_told():
    assert codes(reached(replace(ENDED, http_status=500))) == ["certificate-expired"]


@pytest.mark.parametrize(
    ("tls", "severity"),
    [
        (replace(GOOD, http_status=403, http_excerpt="Forbidden (user=system:anonymous, verb=get)"), Severity.INFO),
        (replace(GOOD, http_status=200), Severity.INFO),
    ],
)
def test_a_kubelet_that_takes_anybody_is_information(tls, severity):
    report = reached(tls)
    assert report.state is State.REACHABLE
    assert [(finding.code, finding.severity) for finding in report.findings] == [("kubelet-anonymous", severity)]


def test_a_403_that_names_nobody_says_nothing():
    assert codes(reached(replace(GOOD, http_status=403, http_excerpt="no"))) == []


def test_a_first_byte_that_is_late_is_information():
    report = reached(replace(GOOD, first_byte_seconds=1.5))
    assert (report.state, codes(report)) == (State.REACHABLE, ["kubelet-slow"])


@pytest.mark.parametrize(
    ("argv", "said", "off"),
    [
        (("kubelet", "--authentication-token-webhook=false"), None, True),
        (("kubelet", "--authentication-token-webhook=true"), ("authentication.webhook.enabled", "false"), False),
        (("kubelet", "--authentication-token-webhook=***"), None, False),
        (("kubelet", "--config=/c"), ("authentication.webhook.enabled", "false"), True),
        (("kubelet", "--config=/c"), ("authentication.webhook.enabled", "true"), False),
        (("kubelet", "--config=/c"), ("authorization.mode", "Webhook"), False),
        (("kubelet",), None, False),
    ],
)
def test_token_review_is_off_only_where_somebody_says_so(argv, said, off):
    given = capture(
        firewall("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"),
        pod=probe(Vantage.POD, Outcome.OPEN, tls=GOOD),
        processes=Processes(
            processes=(replace(KUBELET, argv=argv),), listeners=(LISTENER,), configured=in_file(*[said] if said else [])
        ),
    )
    assert codes(analyse(given)) == (["kubelet-webhook-off"] if off else [])


@pytest.mark.parametrize(
    ("lookup", "code"),
    [
        (looked_up(NameAnswer.FOUND, (NODE_IP,)), None),
        (looked_up(NameAnswer.FOUND, ("127.0.1.1",)), "node-name-elsewhere"),
        (NameLookup(name="n1", namespace=5, from_hosts=("192.0.2.99",)), "node-name-elsewhere"),
        (looked_up(NameAnswer.NXDOMAIN), "node-name-not-found"),
        (looked_up(NameAnswer.NO_DATA), "node-name-not-found"),
        (looked_up(NameAnswer.SERVFAIL), "dns-failed"),
        (looked_up(NameAnswer.TIMEOUT), "dns-failed"),
        (looked_up(NameAnswer.UNREACHABLE, detail="connection refused"), "dns-failed"),
        (looked_up(NameAnswer.NOT_TRIED, detail="the namespace is gone"), None),
        (NameLookup(name="n1", namespace=5, problem="no process"), None),
        (NameLookup(name="n1", namespace=5), None),  # no question was put
    ],
)
def test_the_name_is_the_first_rung(lookup, code):
    report = reached(GOOD, server(), name_lookup=lookup, trust=Trust(issued=True))
    assert [finding.code for finding in report.findings if finding.severity is not Severity.INFO] == ([code] if code else [])


def test_nobody_at_the_port_that_metrics_server_asks_on():
    report = reached(GOOD, server(BY_ADDRESS, "--kubelet-port=10255"))
    assert codes(report) == ["scrape-port-closed"]
    assert f"dial tcp {NODE_IP}:10255: connect: connection refused" in report.findings[0].message


def test_what_meets_a_pod_at_a_closed_port_is_not_foretold_where_no_packet_of_its_is_known():
    asked = reached(GOOD, server(BY_ADDRESS, "--kubelet-port=10255"))
    by_ipv6 = replace(POD_OPEN, source="2001:db8::2", request=replace(POD_OPEN.request, target="2001:db8::1"))
    blind = reached(GOOD, server(BY_ADDRESS, "--kubelet-port=10255"), probes=(by_ipv6,))
    assert [codes(report) for report in (asked, blind)] == [["scrape-port-closed"]] * 2
    assert ["connection refused" in report.findings[0].message for report in (asked, blind)] == [True, False]


def test_somebody_at_that_port_is_no_fault():
    listeners = (LISTENER, Listener(address="::", port=10255, pid=7, process="kubelet"))
    assert "scrape-port-closed" not in codes(reached(GOOD, server(BY_ADDRESS, "--kubelet-port=10255"), listeners=listeners))


@pytest.mark.parametrize(
    ("name", "status", "taken"),
    [
        ("nginx", 404, True),
        ("nginx", 401, False),  # perhaps a forwarder in front of a kubelet
        ("metrics-server", 401, True),
        ("k3s-server", 404, False),
        ("kubelet", 404, False),
        ("", 404, False),
    ],
)
def test_the_holder_of_the_port_is_accused_only_where_it_is_none_of_a_kubelets_names(name, status, taken):
    listener = Listener(address="::", port=10250, pid=70, process=name)
    report = reached(replace(GOOD, http_status=status), listeners=(listener,))
    assert ("kubelet-port-taken" in codes(report)) is taken
    assert not taken or report.findings[0].severity is Severity.CRITICAL


def test_the_kubelets_own_process_holds_its_port_whatever_it_calls_itself():
    own, strange = (Listener(address="::", port=10250, pid=pid, process="node-agent") for pid in (KUBELET.pid, 70))
    assert [codes(reached(replace(GOOD, http_status=404), listeners=(each,)))[0] for each in (own, strange)] == [
        "http-failed",
        "kubelet-port-taken",
    ]


def test_behind_a_rule_that_stops_the_pod_only_faults_that_the_host_proves_are_told():
    host = probe(Vantage.HOST, Outcome.OPEN, tls=ENDED)
    stopped = capture()
    report = analyse(replace(stopped, probes=(stopped.probes[0], host, stopped.probes[2])))
    assert codes(report) == ["input-reject", "certificate-expired"]
    usual = probe(Vantage.HOST, Outcome.OPEN, tls=replace(GOOD, sans=("DNS:n1",)))
    assert codes(analyse(replace(stopped, probes=(stopped.probes[0], usual, stopped.probes[2])))) == ["input-reject"]


def test_a_silent_name_server_is_not_told_where_the_pod_itself_is_stopped():
    processes = Processes(processes=(KUBELET, server()), listeners=(LISTENER,))
    silent, unknown = (
        analyse(capture(processes=processes, name_lookup=looked_up(answer)))
        for answer in (NameAnswer.TIMEOUT, NameAnswer.NXDOMAIN)
    )
    assert codes(silent) == ["input-reject"]
    assert codes(unknown) == ["input-reject", "node-name-not-found"]


def test_rungs_that_hold_are_ruled_out():
    report = reached(GOOD, server(), name_lookup=looked_up(NameAnswer.FOUND, (NODE_IP,)), trust=Trust(issued=True))
    assert {"name resolution", "the kubelet's certificate"} <= {item.what for item in report.excluded}


def test_what_the_kubelets_file_says_is_a_fact_and_what_could_not_be_read_a_problem():
    said = in_file(("authentication.webhook.enabled", "true"), ("readOnlyPort", "0"))
    facts = {fact.name: (fact.value, fact.source) for fact in reached(configured=said).facts}
    assert facts["kubelet authentication.webhook.enabled"] == ("true", "/c")
    assert facts["kubelet readOnlyPort"] == ("0", "/c")
    assert "kubelet authentication.anonymous.enabled" not in facts
    report = reached(
        GOOD,
        server(),
        name_lookup=NameLookup(name="n1", namespace=5, problem="no process runs there"),
        trust=Trust(problem="the CA cannot be read"),
    )
    assert {
        "name lookup: no process runs there",
        "the certificate's issuer: the CA cannot be read",
    } <= set(report.problems)
