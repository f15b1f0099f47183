from dataclasses import replace

import pytest

from agent.analysis.diagnosis.certificates import covers, judge_certificate
from agent.analysis.diagnosis.scrape import Scrape
from agent.model.capture import Process
from agent.model.probe import Tls
from agent.model.report import Severity
from agent.model.scrape import Trust

NOW = "2026-01-31T12:00:00.123Z"
ORDER = Tls(
    ok=True,
    subject="CN=system:node:n1",
    issuer="CN=kubernetes",
    sans=("DNS:n1", "IP:192.0.2.10"),
    self_signed=False,
    not_before="2026-01-01T00:00:00Z",
    not_after="2027-01-01T00:00:00Z",
)
SERVER = Process(pid=9, name="metrics-server", namespace=5)
STRICT = Scrape(address="192.0.2.10", kind="InternalIP", port=10250, server=SERVER)
INSECURE = replace(STRICT, insecure=True)
UNSEEN = replace(STRICT, server=None)
TRUSTED = Trust(issued=True, authorities=("CN=kubernetes",))
WITHOUT = replace(ORDER, sans=("DNS:n1",))
ENDED = replace(ORDER, not_after="2026-01-31T11:59:59Z")


def judge(tls, scrape=STRICT, trust=TRUSTED):
    return judge_certificate(tls, scrape, NOW, trust)


def test_a_certificate_in_order_has_no_fault():
    assert judge(ORDER) is None


@pytest.mark.parametrize(
    ("tls", "code", "words"),
    [
        (
            ENDED,
            "certificate-expired",
            "certificate has expired or is not yet valid: current time 2026-01-31T12:00:00Z is after 2026-01-31T11:59:59Z",
        ),
        (replace(ORDER, not_before="2026-01-31T12:00:01Z"), "certificate-not-yet-valid", "is before 2026-01-31T12:00:01Z"),
        (
            WITHOUT,
            "certificate-without-address",
            "cannot validate certificate for 192.0.2.10 because it doesn't contain any IP SANs",
        ),
        (
            replace(ORDER, sans=("IP:192.0.2.9", "IP:fd00::1")),
            "certificate-without-address",
            "certificate is valid for 192.0.2.9, fd00::1, not 192.0.2.10",
        ),
        (replace(ENDED, sans=()), "certificate-expired", "expired"),
    ],
)
def test_the_first_fault_is_the_one_that_go_reports(tls, code, words):
    fault = judge(tls)
    assert fault.cause.code == code
    assert fault.go_error.startswith("tls: failed to verify certificate: x509: ")
    assert words in fault.go_error


@pytest.mark.parametrize(
    ("sans", "words"),
    [
        (("DNS:a", "IP:192.0.2.10"), "certificate is valid for a, not n1"),
        (("IP:192.0.2.10",), "certificate is not valid for any names, but wanted to match n1"),
        ((), "certificate relies on legacy Common Name field, use SANs instead"),
    ],
)
def test_a_name_is_held_against_the_names(sans, words):
    by_name = replace(STRICT, address="n1", kind="Hostname")
    assert words in judge(replace(ORDER, sans=sans), by_name).go_error


@pytest.mark.parametrize(
    ("tls", "trust", "faulty"),
    [
        (ORDER, Trust(issued=False), True),
        (ORDER, None, False),
        (ORDER, Trust(problem="unreadable"), False),
        (replace(ORDER, self_signed=True), None, True),
        (replace(ORDER, self_signed=True), TRUSTED, False),
    ],
)
def test_an_issuer_is_accused_only_where_it_is_known(tls, trust, faulty):
    fault = judge(tls, trust=trust)
    assert (fault is not None) is faulty
    assert fault is None or (fault.cause.code, fault.go_error[-20:]) == ("certificate-untrusted", "by unknown authority")


def test_an_authority_of_its_own_is_not_known_here():
    assert judge(ORDER, replace(STRICT, own_authority=True), Trust(issued=False)) is None


@pytest.mark.parametrize(
    ("tls", "scrape", "severity"),
    [
        (WITHOUT, STRICT, Severity.WARNING),
        (WITHOUT, INSECURE, Severity.INFO),
        (WITHOUT, UNSEEN, Severity.INFO),
        (ENDED, STRICT, Severity.WARNING),
        (ENDED, INSECURE, Severity.INFO),
        (ENDED, UNSEEN, Severity.WARNING),
    ],
)
def test_a_fault_counts_where_somebody_here_minds(tls, scrape, severity):
    assert judge(tls, scrape).severity is severity


@pytest.mark.parametrize(
    ("sans", "host", "named"),
    [
        (("IP:fd00::1",), "FD00:0::1", True),
        (("DNS:192.0.2.10",), "192.0.2.10", False),
        (("DNS:*.example.com",), "n1.example.com", True),
        (("DNS:*.example.com",), "a.n1.example.com", False),
        (("DNS:N1.",), "n1", True),
    ],
)
def test_names_and_addresses_are_compared_as_go_does(sans, host, named):
    assert covers(replace(ORDER, sans=sans), host) is named


def test_a_certificate_that_could_not_be_read_is_not_judged():
    assert judge(Tls(ok=True, error="the certificate cannot be read")) is None
