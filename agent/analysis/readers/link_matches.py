"""The matches of iptables that ask for what is below IP: the sender's link-layer address and the ports of a bridge."""

import re

from agent.analysis.readers.intervals import exactly
from agent.analysis.readers.kernel_state import Asked, Reader, unsure
from agent.model.packet import Field
from agent.model.ruleset import Compare, Match, Names

_MAC = re.compile(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
# Only a packet from an Ethernet device has such an address, and lo is none (xt_mac.c).
_NOT_LOOPED = Compare(Field.IIF, Names(("lo",)), negate=True)
_PORTS = {"in": Field.PHYSDEV_IN, "out": Field.PHYSDEV_OUT}


def _mac(asked: Asked) -> list[Match]:
    found: list[Match] = [_NOT_LOOPED]
    for each in asked.options:
        known = each.name == "--mac-source" and _MAC.fullmatch(each.value)
        test = exactly(int(each.value.replace(":", ""), 16)) if known else None
        found.append(unsure(each) if test is None else Compare(Field.ETHER_SADDR, test, each.negate))
    return found


def _physdev(asked: Asked) -> list[Match]:
    """A packet that used no port has an empty one, which no name is (xt_physdev.c); one that leaves by a port is bridged."""
    found: list[Match] = []
    for each in asked.options:
        word = each.name.removeprefix("--physdev-")
        by_name = _PORTS.get(word)
        field = _PORTS.get(word.removeprefix("is-")) if word != "is-bridged" else Field.PHYSDEV_OUT
        if by_name is not None and each.value and not each.value.endswith("*"):
            pattern = f"{each.value[:-1]}*" if each.value.endswith("+") else each.value
            found.append(Compare(by_name, Names((pattern,)), each.negate))
        elif by_name is None and field is not None and not each.value:
            found.append(Compare(field, Names(("",)), not each.negate))
        else:
            found.append(unsure(each))
    return found


READERS: dict[str, Reader] = {"mac": _mac, "physdev": _physdev}
