"""What a scrape needs beside the connect, and what becomes of it when it cannot be had."""

from dataclasses import replace

import pytest

from agent.analysis.diagnosis.scrape import Scrape
from agent.lab.serving import Serving, Signer, certify, make_authority
from agent.model.capture import Process
from agent.model.identity import Identity, Pod
from agent.model.probe import Outcome, ProbeRequest, ProbeResult, Tls, Vantage
from agent.model.scrape import Asked, NameAnswer, PodFiles
from agent.model.settings import Settings
from agent.service.fake import FakeHost
from agent.service.host import BrokerGone, NamespaceGone
from agent.service.scraping import Scraping, hold_certificate
from tests.unit.host.test_certificate import NOW

SERVER = Process(pid=9, name="metrics-server", namespace=77)
BY_NAME = Scrape(address="n1", kind="Hostname", port=10250, server=SERVER)
FILES = PodFiles(namespace=77, pid=9, resolv_conf="search a b c\nnameserver 10.0.0.1\noptions ndots:5\n", hosts="")
IDENTITY = Identity(node_name="n1", pods=(Pod(namespace=5, address="10.9.1.5"),))


class Answering:
    """An asker that says the same to everybody, and remembers whom it was asked about."""

    def __init__(self, answer):
        self.answer, self.names = answer, []

    def __call__(self, question, _sock, _settings):
        self.names.append(question.name)
        return Asked(question=question, answer=self.answer)


def scraping(capture, answer=NameAnswer.NXDOMAIN, **failures):
    host, asker = FakeHost(capture, failures=failures), Answering(answer)
    return Scraping(host, Settings(), asker), host, asker


def test_the_question_is_put_in_metrics_servers_own_pod(capture):
    looking, host, asker = scraping(capture)
    lookup = looking.lookup(BY_NAME, FILES)
    assert asker.names == ["n1.a.", "n1.b.", "n1.c.", "n1."]
    assert set(host.calls) == {"socket 77"}
    assert lookup.namespace == 77


@pytest.mark.parametrize(
    "scrape", [replace(BY_NAME, server=None), replace(BY_NAME, address="192.0.2.10"), replace(BY_NAME, address="")]
)
def test_who_asks_for_no_name_is_not_asked_about(capture, scrape):
    assert scraping(capture)[0].lookup(scrape, FILES) is None


def test_a_name_in_the_hosts_file_is_asked_of_nobody(capture):
    looking, host, _ = scraping(capture)
    lookup = looking.lookup(BY_NAME, replace(FILES, hosts="192.0.2.10 n1\n"))
    assert (lookup.from_hosts, lookup.asked, host.calls) == (("192.0.2.10",), (), [])


def test_files_that_cannot_be_read_are_the_problem_of_the_lookup(capture):
    lookup = scraping(capture)[0].lookup(BY_NAME, replace(FILES, problem="no process"))
    assert (lookup.problem, lookup.asked) == ("no process", ())


def test_a_resolver_with_many_domains_is_not_followed_for_ever(capture):
    domains = " ".join(f"d{number}" for number in range(100))
    lookup = scraping(capture)[0].lookup(BY_NAME, replace(FILES, resolv_conf=f"search {domains}\noptions ndots:5\n"))
    assert len(lookup.asked) == 16


def test_a_pod_that_dies_meanwhile_is_an_answer(capture):
    looking, _, _ = scraping(capture, socket=NamespaceGone("it is gone"))
    (asked,) = looking.lookup(BY_NAME, FILES).asked
    assert (asked.answer, asked.detail) == (NameAnswer.NOT_TRIED, "it is gone")


def test_a_broker_that_is_gone_ends_the_look(capture):
    with pytest.raises(BrokerGone):
        scraping(capture, socket=BrokerGone("it is gone"))[0].lookup(BY_NAME, FILES)


def test_the_files_are_metrics_servers_where_it_runs_here_and_else_the_first_pods(capture):
    looking, _, _ = scraping(capture)
    assert looking.pod_files(BY_NAME, IDENTITY).namespace == 77
    assert looking.pod_files(replace(BY_NAME, server=None), IDENTITY).namespace == 5
    assert looking.pod_files(replace(BY_NAME, server=replace(SERVER, namespace=0)), IDENTITY).namespace == 5
    assert looking.pod_files(replace(BY_NAME, server=None), replace(IDENTITY, pods=())) is None


@pytest.fixture
def pki(tmp_path):
    make_authority(tmp_path / "pki", NOW)
    return tmp_path / "pki"


def shown(pem, vantage=Vantage.POD):
    request = ProbeRequest(vantage=vantage, namespace=5, source="10.9.1.5", target="192.0.2.10", port=10250)
    return ProbeResult(request=request, outcome=Outcome.OPEN, tls=Tls(ok=True, certificate=pem.decode()))


@pytest.mark.parametrize(("signer", "issued"), [(Signer.CLUSTER, True), (Signer.STRANGER, False)])
def test_the_certificate_is_held_against_the_pods_own_authority(pki, signer, issued):
    pem, _ = certify("n1", NOW, Serving(signer=signer), pki)
    trust = hold_certificate([shown(pem)], replace(FILES, authority=(pki / "ca.crt").read_text()))
    assert (trust.issued, trust.authorities) == (issued, ("CN=kubernetes",))


def test_another_nodes_certificate_is_not_this_nodes(pki):
    pem, _ = certify("n2", NOW, Serving(signer=Signer.CLUSTER), pki)
    files = replace(FILES, authority=(pki / "ca.crt").read_text())
    assert hold_certificate([shown(pem, Vantage.PEER)], files) is None


def test_without_an_authority_nothing_is_said(pki):
    pem, _ = certify("n1", NOW)
    assert hold_certificate([shown(pem)], FILES) is None
    assert hold_certificate([shown(pem)], None) is None
    assert "cannot be read" in hold_certificate([shown(pem)], replace(FILES, authority="no PEM")).problem
