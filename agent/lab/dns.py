"""A stand-in for the cluster's DNS: answers A questions from a list of names, or fails as it is told to.

Run as `python -m agent.lab.dns ADDRESS ANSWERS`, where ANSWERS is `agent.lab.names.Names` as JSON.
"""

import json
import socket
import sys

import dns.exception
import dns.message
import dns.rcode
import dns.rrset

from agent.lab.handover import report_ready
from agent.lab.names import Names
from agent.model.codec import from_plain

_PORT = 53
_SECONDS_TO_LIVE = 30  # CoreDNS' own, for names of the cluster


def answer(received: bytes, names: Names) -> bytes | None:
    """The answer to one question; None for what is no question, and where the server is to be silent."""
    try:
        query = dns.message.from_wire(received)
    except (dns.exception.DNSException, ValueError):
        return None
    if names.silent or not query.question:
        return None
    reply = dns.message.make_response(query)
    asked = query.question[0]
    address = names.addresses.get(str(asked.name))
    if names.failure:
        reply.set_rcode(dns.rcode.from_text(names.failure))
    elif address is None:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    elif asked.rdtype == dns.rdatatype.A:
        reply.answer.append(dns.rrset.from_text(asked.name, _SECONDS_TO_LIVE, "IN", "A", address))
    return reply.to_wire()


def main() -> None:
    """Answers until it is killed."""
    address, names = sys.argv[1], from_plain(Names, json.loads(sys.argv[2]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, _PORT))
        report_ready()
        while True:
            received, client = sock.recvfrom(4096)
            reply = answer(received, names)
            if reply is not None:
                sock.sendto(reply, client)


if __name__ == "__main__":
    main()
