"""What a scrape needs beside the connect, asked of the host: the pod's files, the name, the certificate's issuer.

Each is one thing that may be missing; none of them keeps the look from its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from agent.analysis.diagnosis.names import NamePlan, next_question, plan_lookup
from agent.analysis.diagnosis.scrape import Scrape
from agent.host import certificate
from agent.model.identity import Identity
from agent.model.probe import ProbeResult, Vantage
from agent.model.scrape import Asked, NameAnswer, NameLookup, PodFiles, Question, Trust
from agent.model.settings import Settings
from agent.service.host import Asker, BrokerGone, Host, HostError

# Three servers times five names is what a pod's resolver may ask; a name that needs more questions is not found.
_MOST_QUESTIONS = 16


@dataclass(frozen=True, slots=True)
class Scraping:
    """The host of one look, and how a question is put on a socket of its."""

    host: Host
    settings: Settings
    ask: Asker

    def pod_files(self, scrape: Scrape, identity: Identity) -> PodFiles | None:
        """The files of metrics-server's pod, else of the first pod; None where there is no pod. Raises `HostError`."""
        namespace = (scrape.server.namespace if scrape.server else 0) or next((pod.namespace for pod in identity.pods), 0)
        return self.host.pod_files(namespace) if namespace else None

    def lookup(self, scrape: Scrape, files: PodFiles | None) -> NameLookup | None:
        """The name looked up as metrics-server's pod does it; None where metrics-server is not here, or asks for no name."""
        if scrape.server is None or not scrape.by_name or files is None:
            return None
        if files.problem:
            return NameLookup(name=scrape.address, namespace=files.namespace, problem=files.problem)
        plan = plan_lookup(scrape.address, files)
        asked: tuple[Asked, ...] = ()
        while len(asked) < _MOST_QUESTIONS and (question := next_question(plan, asked)) is not None:
            asked = (*asked, self._put(question, files.namespace))
        return _looked_up(plan, files.namespace, asked)

    def _put(self, question: Question, namespace: int) -> Asked:
        try:
            with self.host.socket(namespace, ip_address(question.server).version, "dgram") as sock:
                return self.ask(question, sock, self.settings)
        except BrokerGone:
            raise
        except HostError as error:
            return Asked(question=question, answer=NameAnswer.NOT_TRIED, detail=str(error))


def hold_certificate(probes: Sequence[ProbeResult], files: PodFiles | None) -> Trust | None:
    """Whether the kubelet's certificate is issued by the CA that pods are given; None where one of the two is missing."""
    own = [result.tls for result in probes if result.tls and result.request.vantage is not Vantage.PEER]
    shown = next((tls.certificate for tls in own if tls.certificate), "")
    if not shown or files is None or not files.authority:
        return None
    try:
        issued, authorities = certificate.hold_against(shown, files.authority)
    except ValueError as error:
        return Trust(problem=f"the cluster's CA in the pod cannot be read: {error}")
    return Trust(issued=issued, authorities=authorities)


def _looked_up(plan: NamePlan, namespace: int, asked: tuple[Asked, ...]) -> NameLookup:
    return NameLookup(name=plan.name, namespace=namespace, from_hosts=plan.from_hosts, asked=asked)
