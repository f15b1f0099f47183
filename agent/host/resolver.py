"""One question to one name server, on a socket of a pod's namespace: what does this pod's resolver hear?

Runs in the front, without privilege: the answer is a stranger's bytes. dnspython makes and reads the messages; its own resolver
is not used, because it knows one namespace only. Nothing here raises.
"""

import errno
import os
import socket
import time
from typing import TYPE_CHECKING

from agent.model.scrape import Asked, NameAnswer, Question
from agent.model.settings import Settings

if TYPE_CHECKING:
    import dns.message

_PORT = 53
# A resolver that does not use EDNS, as Go's in its first try, gets at most 512 bytes (RFC 1035 4.2.1); some servers send more.
_LARGEST = 4096
_UNREACHABLE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EINVAL)


def ask(question: Question, sock: socket.socket, settings: Settings) -> Asked:
    """Asks on `sock`, a fresh UDP socket of the server's family, and waits `settings.connect_timeout` seconds. Closes it."""
    started = time.monotonic()
    with sock:
        try:
            answer, addresses, detail = _exchange(question, sock, started + settings.connect_timeout)
        except TimeoutError:
            answer, addresses, detail = NameAnswer.TIMEOUT, (), ""
        except OSError as error:
            known = error.errno in _UNREACHABLE
            answer = NameAnswer.UNREACHABLE if known else NameAnswer.NOT_TRIED
            addresses, detail = (), os.strerror(error.errno).lower() if error.errno else str(error)
    seconds = time.monotonic() - started
    return Asked(question=question, answer=answer, addresses=addresses, seconds=seconds, detail=detail)


def _exchange(question: Question, sock: socket.socket, deadline: float) -> tuple[NameAnswer, tuple[str, ...], str]:
    # A tenth of a second, which only a scrape that goes by name pays.
    import dns.exception  # noqa: PLC0415
    import dns.message  # noqa: PLC0415

    try:
        query = dns.message.make_query(question.name, question.kind)
    except (dns.exception.DNSException, UnicodeError):
        return NameAnswer.NOT_TRIED, (), "it is no name that DNS could hold"
    sock.connect((question.server, _PORT))  # so that an ICMP error reaches us, and nobody else's packet does
    sock.settimeout(max(deadline - time.monotonic(), 0.001))
    sock.send(query.to_wire())
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        received = sock.recv(_LARGEST)
        try:
            reply = dns.message.from_wire(received, ignore_trailing=True)
        except (dns.exception.DNSException, ValueError):
            return NameAnswer.OTHER, (), "it answered what is no DNS message"
        if query.is_response(reply):
            return _read(reply, question.kind)


def _read(reply: "dns.message.Message", kind: str) -> tuple[NameAnswer, tuple[str, ...], str]:
    import dns.flags  # noqa: PLC0415
    import dns.rcode  # noqa: PLC0415  as above
    import dns.rdatatype  # noqa: PLC0415

    code = reply.rcode()
    by_code = {
        dns.rcode.NXDOMAIN: NameAnswer.NXDOMAIN,
        dns.rcode.SERVFAIL: NameAnswer.SERVFAIL,
        dns.rcode.REFUSED: NameAnswer.REFUSED,
    }
    if code != dns.rcode.NOERROR:
        known = by_code.get(code)
        return (known, (), "") if known else (NameAnswer.OTHER, (), f"rcode {dns.rcode.to_text(code)}")
    wanted = dns.rdatatype.from_text(kind)
    # Aliases come along in the same answer (RFC 1034 3.6.2): every address in it is the name's.
    addresses = tuple(record.address for group in reply.answer if group.rdtype == wanted for record in group)
    if not addresses and reply.flags & dns.flags.TC:
        return NameAnswer.OTHER, (), "its answer was cut off"
    return (NameAnswer.FOUND if addresses else NameAnswer.NO_DATA), addresses, ""
