"""Which addresses a connect may be made to: those that can be a node's. A kubelet itself refuses to use any other (kubernetes
pkg/kubelet/kubelet_node_status.go, `validateNodeIP`), so one that claims such an address would have us knock somewhere else:
at this machine's own services, or at a cloud's metadata service.
"""

from ipaddress import IPv6Address, ip_address


def can_be_a_node(text: str) -> bool:
    """Whether this is the plain form of a unicast address: not loopback, link-local, multicast, unspecified or broadcast.

    An IPv4 address inside an IPv6 one counts as what it is inside of: nothing that a node is called by.
    """
    try:
        address = ip_address(text)
    except ValueError:  # 0xa9fea9fe, 2852039166, a name: whatever a resolver might make of it
        return False
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address.sixtofour or address.scope_id):
        return False
    special = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return not special and text != "255.255.255.255"
