"""A packet of somebody's choice, walked through the rules that are live now."""

from ipaddress import ip_address

from agent.analysis.path.explain import explain
from agent.model.explanation import Explanation
from agent.service.host import Host
from agent.service.input_path import read_live
from agent.service.question import Question, parse_packet


def explain_live(host: Host, question: Question) -> Explanation:
    """What would become of it. The node's own addresses are known to be local. Raises `BadQuestionError`, `HostError`."""
    parse_packet(question)  # a question that makes no sense costs the node nothing
    interfaces = host.node().interfaces
    local = [ip_address(text.split("/")[0]) for interface in interfaces for text in interface.addresses]
    return explain(read_live(host), parse_packet(question, local))
