"""The packet that somebody asks about, out of words: the same for `kubereach explain` and `GET /v1/explain`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from agent.model.packet import PROTOCOLS, SYN, TCP, CtState, IPAddress, Packet

WITH_PORTS = frozenset(PROTOCOLS[name] for name in ("tcp", "udp", "udplite", "dccp", "sctp"))
_ALIASES = {"icmpv6": "ipv6-icmp", "icmp6": "ipv6-icmp"}
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]+|[0-9]+")
# IFNAMSIZ is 16 with the terminating zero (linux/if.h); dev_valid_name() refuses slashes, colons and white space.
_INTERFACE = re.compile(r"[^\s/:]{1,15}")


class BadQuestionError(ValueError):
    """A word that is no packet's. `name` is the option or parameter, the message a sentence that says what to write."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A packet in words, as they were typed. Empty means not given: rules that ask for it become maybe."""

    src: str
    dst: str
    in_: str = ""
    proto: str = "tcp"
    sport: str = ""
    dport: str = ""
    ctstate: str = "NEW"
    local: tuple[str, ...] = ()
    mark: str = ""
    out: str = ""


def parse_packet(question: Question, local: Sequence[IPAddress] = ()) -> Packet:
    """The packet. `local` are addresses that are known to be the node's, beside those of the question.

    Raises `BadQuestionError`.
    """
    source, destination = _address("src", question.src), _address("dst", question.dst)
    if source.version != destination.version:
        raise BadQuestionError("src", f"src {source} and dst {destination} are not of the same IP version: give two that are.")
    protocol, state = _protocol(question.proto), _state(question.ctstate)
    for name, text in (("sport", question.sport), ("dport", question.dport)):
        if text and protocol not in WITH_PORTS:
            raise BadQuestionError(name, f"{name} {text} has no meaning for protocol {question.proto}: leave it out.")
    given = tuple(_address("local", text) for text in question.local)
    return Packet(
        source=source,
        destination=destination,
        protocol=protocol,
        sport=_number("sport", question.sport, 0xFFFF) if question.sport else None,
        dport=_number("dport", question.dport, 0xFFFF) if question.dport else None,
        iif=_interface("in", question.in_) if question.in_ else None,
        oif=_interface("out", question.out) if question.out else None,
        # Only the first packet of a connection is known to be a bare SYN.
        tcp_flags=SYN if protocol == TCP and state is CtState.NEW else None,
        ctstate=state,
        mark=_number("mark", question.mark, 0xFFFFFFFF) if question.mark else 0,
        local=tuple(dict.fromkeys((*given, *local))),
    )


def _address(name: str, text: str) -> IPAddress:
    try:
        return ip_address(text)
    except ValueError as error:
        raise BadQuestionError(name, f"{name} {text!r} is no IP address: write one such as 10.244.4.138.") from error


def _protocol(text: str) -> int:
    name = text.lower()
    number = PROTOCOLS.get(_ALIASES.get(name, name))
    if number is not None:
        return number
    if not _NUMBER.fullmatch(name):
        raise BadQuestionError("proto", f"proto {text!r} is unknown: write one of {', '.join(PROTOCOLS)}, or its number.")
    return _number("proto", text, 0xFF)


def _state(text: str) -> CtState:
    try:
        return CtState[text.upper()]
    except KeyError as error:
        words = ", ".join(state.name or "" for state in CtState)
        raise BadQuestionError("ctstate", f"ctstate {text!r} is unknown: write one of {words}.") from error


def _interface(name: str, text: str) -> str:
    if not _INTERFACE.fullmatch(text):
        raise BadQuestionError(name, f"{name} {text!r} is no interface's name: write one such as cni0.")
    return text


def _number(name: str, text: str, largest: int) -> int:
    if not _NUMBER.fullmatch(text):  # int() would also take 1_0, blanks and other scripts' digits
        raise BadQuestionError(name, f"{name} {text!r} is no number: write one from 0 to {largest}.")
    value = int(text, 16 if text.lower().startswith("0x") else 10)
    if value > largest:
        raise BadQuestionError(name, f"{name} {text} is out of range: write a number from 0 to {largest}.")
    return value
