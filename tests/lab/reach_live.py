"""A namespace with a firewall that is too large to be read whole, and a real broker there; prints what was seen as JSON."""

import json
import socket
import subprocess
from dataclasses import replace
from ipaddress import ip_address, ip_network

from agent.analysis.path.explain import explain
from agent.analysis.path.reach import Asked
from agent.analysis.readers.read import read_firewall
from agent.host import firewall, nftnetlink
from agent.host.client import Broker
from agent.host.errors import HostError
from agent.model.outline import Part
from agent.model.packet import Packet
from agent.model.settings import Settings
from agent.service.reading import read_again, read_for
from tests.lab.kube_shape import kube_proxy

POD = Packet(source=ip_address("10.244.4.138"), destination=ip_address("172.31.16.124"), dport=10250, iif="cni0", local=())
ASKED = (Asked(POD, sources=ip_network("10.244.4.0/24")),)


def generation() -> int:
    with nftnetlink.Reader() as reader:
        return reader.generation()


def refuses(broker: Broker, part: Part) -> bool:
    try:
        broker.parts(generation(), [part])
    except HostError:
        return True
    return False


def main() -> None:
    subprocess.run(["iptables-nft-restore"], input=kube_proxy(400), text=True, check=True)
    found: dict[str, object] = {"generation_before_reading": generation()}
    with Broker.start(Settings(cni_dirs=(), netns_dirs=(), twin=False)) as broker:
        part = read_for(broker, ASKED)
        entire = explain(read_firewall(firewall.capture()), POD)
        found |= {"in_part": part.outline is not None, "parts": len(part.parts), "generation_after_reading": generation()}
        found["same"] = explain(read_firewall(part), POD) == entire
        for _ in range(3):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"", ("127.0.0.1", 9))
        found["counts_again"] = packets(read_again(broker, part, ASKED)) - packets(part)
        subprocess.run(["iptables-nft", "-I", "INPUT", "2", "-p", "tcp", "--dport", "10250", "-j", "DROP"], check=True)
        changed = explain(read_firewall(read_again(broker, part, ASKED)), POD)
        found["sees_the_change"] = changed.decided_by is not None and changed.decided_by.rule_number == 2
        wanted = Part(kind="chain", family="ip", table="nat", name="PREROUTING")
        found["stale"] = broker.parts(generation() - 1, [wanted]).parts
        hostile = [replace(wanted, name=name) for name in ("-F", "KUBE;flush", "no such")]
        answer = broker.parts(generation(), hostile).parts or ()
        found["hostile"] = {each.part.name: each.listing.status for each in answer}
        odd = {"family": "--help", "name": "", "kind": "rule"}
        found["refused"] = [value for key, value in odd.items() if refuses(broker, replace(wanted, **{key: value}))]
    print(json.dumps(found))


def packets(reading: firewall.Firewall) -> int:
    """What the rule for lo has counted."""
    for table in read_firewall(reading).tables:
        chain = table.chain("INPUT")
        if table.name == "filter" and chain is not None:
            return sum(rule.counter.packets for rule in chain.rules if rule.counter and "-i lo" in rule.text)
    raise LookupError("no chain filter INPUT was read")


if __name__ == "__main__":
    main()
