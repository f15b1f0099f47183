"""A packet of somebody's choice, walked through the rules that are live now, and tried in the twin where that is wanted."""

import shlex
from dataclasses import replace
from ipaddress import ip_address

from agent.analysis.diagnosis.packets import moment_of
from agent.analysis.diagnosis.twin_plan import plan_packet
from agent.analysis.path.explain import Way, explain_way
from agent.analysis.path.partition import explain_sources
from agent.analysis.path.reach import Asked
from agent.analysis.readers.read import read_firewall
from agent.model.capture import Firewall
from agent.model.explanation import Explanation
from agent.model.twin import TwinInsert, TwinRequest, TwinResult
from agent.service.clock import Clock
from agent.service.host import BrokerGone, Host, HostError
from agent.service.question import BadQuestionError, Question, parse_packet
from agent.service.reading import name_of, read_for
from agent.service.sources import split_sources


def explain_live(  # noqa: PLR0913 - the question, and how it is asked
    host: Host, question: Question, clock: Clock, *, way: Way = Way.TO_NODE, twin: bool = False, what_if: str = ""
) -> Explanation:
    """What would become of it on its way if it were sent now. The node's own addresses are known to be local.

    With `twin` a packet to this node is tried, too; `what_if`, as `CHAIN POSITION SPEC` of iptables, names a rule that is
    inserted there beforehand, in the backend and table of the rule that decides. A network as source is walked for each of its
    addresses and not tried. Raises `BadQuestionError`, `HostError`.
    """
    question, sources = split_sources(question, alone=way is not Way.TO_NODE or bool(what_if))
    parse_packet(question)  # a question that makes no sense costs the node nothing
    words = _parse_what_if(what_if)
    node = host.node()
    local = [ip_address(text.split("/")[0]) for interface in node.interfaces for text in interface.addresses]
    packet = replace(parse_packet(question, local), moment=moment_of(clock.now(), ()))
    firewall = read_for(host, (Asked(packet, way, sources),))
    if sources is not None:
        return explain_sources(read_firewall(firewall), packet, sources)
    explanation = explain_way(read_firewall(firewall), packet, way)
    if way is not Way.TO_NODE or (not twin and words is None):
        return explanation
    insert = _place(explanation, words) if words else None
    return replace(explanation, twin=_try(host, plan_packet(packet, node, insert=insert), firewall))


def _try(host: Host, request: TwinRequest | TwinResult, firewall: Firewall) -> TwinResult:
    if isinstance(request, TwinResult):
        return request
    try:
        return host.twin(replace(request, firewall=name_of(host, firewall)))
    except BrokerGone:
        raise
    except HostError as error:
        return TwinResult(problem=str(error))


def _parse_what_if(text: str) -> tuple[str, int, tuple[str, ...]] | None:
    if not text:
        return None
    try:
        chain, position, *spec = shlex.split(text)
        return chain, int(position), tuple(spec)
    except ValueError as error:
        sentence = f"what-if {text!r} is no place and rule: write one such as 'INPUT 6 -s 10.244.4.0/24 -j ACCEPT'."
        raise BadQuestionError("what-if", sentence) from error


def _place(explanation: Explanation, words: tuple[str, int, tuple[str, ...]]) -> TwinInsert:
    rule = explanation.decided_by
    if rule is None or rule.tool == "nft":
        raise BadQuestionError("what-if", "what-if needs a rule of iptables that decides: it is inserted in that rule's table.")
    chain, position, spec = words
    return TwinInsert(backend=rule.backend, table=rule.table, chain=chain, position=position, spec=spec)
