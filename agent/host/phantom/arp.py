"""Whether an IPv4 address is anybody's on a link: an ARP probe (RFC 5227, section 2.1.1), built and read by scapy."""

import select
import socket
import time
from ipaddress import IPv4Address

from agent.host import scapy_tables

scapy_tables.leave_out()
from scapy.config import conf  # noqa: E402  after what its import obeys

conf.verb = 0
conf.route_autoload = conf.route6_autoload = False  # whose routes they would be depends on the moment
from scapy.layers.l2 import ARP, Ether  # noqa: E402  after the settings that its import obeys

_ETH_P_ARP = 0x0806  # include/uapi/linux/if_ether.h
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_NOBODY = "0.0.0.0"  # noqa: S104  a sender's address, nothing is bound to it
# A neighbour on a bridge answers in microseconds, a pod that sleeps in a few milliseconds.
_PROBES, _PATIENCE = 3, 0.1


def is_free(interface: str, mac: str, address: IPv4Address) -> bool:
    """True where nobody answers for `address` on the link of `interface`, in the calling thread's namespace. Raises `OSError`.

    The sender's address is 0.0.0.0: nobody's ARP table learns anything from the question.
    """
    question = Ether(src=mac, dst=_BROADCAST) / ARP(
        op="who-has", hwsrc=mac, psrc=_NOBODY, hwdst="00:00:00:00:00:00", pdst=str(address)
    )
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP)) as link:
        link.bind((interface, _ETH_P_ARP))
        for _ in range(_PROBES):
            link.send(bytes(question))
            deadline = time.monotonic() + _PATIENCE
            while (left := deadline - time.monotonic()) > 0 and select.select([link], [], [], left)[0]:
                frame = Ether(link.recv(2048))
                if ARP in frame and frame[ARP].psrc == str(address) and frame.src != mac:
                    return False
    return True
