"""A question about a whole network of sources, told from one about a single packet by the slash in its source."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network

from agent.service.question import BadQuestionError, Question

Network = IPv4Network | IPv6Network


def split_sources(question: Question, *, alone: bool = False) -> tuple[Question, Network | None]:
    """The question about the network's first address, and the network; the same question and None for a single address.

    `alone`: what else is asked for can be answered for one packet only. Raises `BadQuestionError`.
    """
    if "/" not in question.src:
        return question, None
    if alone:
        sentence = f"src {question.src} is a network, which is walked to this node only, and not tried: give one address."
        raise BadQuestionError("src", sentence)
    try:
        network = ip_network(question.src)
    except ValueError as error:
        sentence = f"src {question.src!r} is no network: write one such as 10.244.4.0/24, with no bits behind its prefix."
        raise BadQuestionError("src", sentence) from error
    return replace(question, src=str(network.network_address)), network
