"""Sets held to the kernel: each type of ipset with members and non-members, asked by a rule, met by a real SYN.

`DROP` means that the packet from the pod (10.244.4.138, by cni0) to 172.31.16.124:10250 is in the set. A type that the kernel
lacks is skipped.
"""

from collections.abc import Iterator

import pytest

from agent.model.capture import IPSET_SAVE, LEGACY_SAVE, LEGACY_SAVE6, NFT_JSON, NFT_SAVE, NFT_SAVE6
from tests.lab import kernel_truth
from tests.lab.kernel_cases import Case
from tests.lab.kernel_truth import Kernel, Load, RefusedRuleset, ask, hold, restore_text

_DROP, _ACCEPT, _MAYBE = "DROP", "ACCEPT", "MAYBE"


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    found = Kernel()
    yield found
    found.close()


@pytest.fixture(autouse=True)
def readable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kernel_truth.READ, IPSET_SAVE, ["ipset", "save"])


def sets(*types: str) -> str:
    """`TYPE OPTIONS: ENTRY; ENTRY` as a set named s, or NAME before a `=`."""
    lines = []
    for each in types:
        head, _, entries = each.partition(" : ")
        name, _, kind = head.rpartition("=")
        name = name or "s"
        lines.append(f"create {name} {kind.strip()}")
        lines += [f"add {name} {entry.strip()}" for entry in entries.split(";") if entry.strip()]
    return "\n".join(lines) + "\n"


# (set, what the rule asks, what becomes of the packet)
_CASES = [
    ("hash:ip : 10.244.4.138", "s src", _DROP),
    ("hash:ip : 10.244.4.138", "s dst", _ACCEPT),
    ("hash:ip : 10.244.4.139; 172.31.16.124", "s src", _ACCEPT),
    ("hash:ip : 10.244.4.139; 172.31.16.124", "s dst", _DROP),
    ("hash:ip : 10.244.4.136/29", "s src", _DROP),
    ("hash:ip", "s src", _ACCEPT),
    ("hash:ip timeout 600 counters comment : 10.244.4.138 comment a", "s src", _DROP),
    ("hash:ip netmask 24 : 10.244.4.7", "s src", _DROP),
    ("hash:ip netmask 24 : 10.244.5.138", "s src", _ACCEPT),
    ("hash:ip bitmask 255.255.0.255 : 10.244.9.138", "s src", _DROP),
    ("hash:ip bitmask 255.255.0.255 : 10.244.4.137", "s src", _ACCEPT),
    ("bitmap:ip range 10.244.0.0/16 : 10.244.4.100-10.244.4.200", "s src", _DROP),
    ("bitmap:ip range 10.244.0.0/16 : 10.244.4.139", "s src", _ACCEPT),
    ("bitmap:ip range 10.244.0.0/16 netmask 24 : 10.244.4.1", "s src", _DROP),
    ("bitmap:ip range 10.244.0.0/16 netmask 24 : 10.244.5.1", "s src", _ACCEPT),
    ("bitmap:ip range 10.244.0.0/16 : 10.244.4.138", "s dst", _ACCEPT),
    ("bitmap:ip,mac range 10.244.0.0/16 : 10.244.4.139,02:00:00:00:00:02", "s src,src", _ACCEPT),
    ("bitmap:ip,mac range 10.244.0.0/16 : 10.244.4.138,02:00:00:00:00:02", "s src,src", _DROP),
    ("bitmap:ip,mac range 10.244.0.0/16 : 10.244.4.138,02:00:00:00:00:03", "s src,src", _ACCEPT),
    ("bitmap:ip,mac range 10.244.0.0/16 : 10.244.4.138,02:00:00:00:00:01", "s src,dst", _MAYBE),
    ("bitmap:port range 0-65535 : 10250", "s dst", _DROP),
    ("bitmap:port range 0-65535 : 10250", "s src", _ACCEPT),
    ("bitmap:port range 0-65535 : 10000-10249; 10251-10300", "s dst", _ACCEPT),
    ("hash:net : 10.0.0.0/8", "s src", _DROP),
    ("hash:net : 10.0.0.0/8; 10.244.0.0/16 nomatch", "s src", _ACCEPT),
    ("hash:net : 10.0.0.0/8; 10.244.0.0/16 nomatch; 10.244.4.0/24", "s src", _DROP),
    ("hash:net : 0.0.0.0/1; 10.244.4.138 nomatch", "s src", _ACCEPT),
    ("hash:net : 10.0.0.0/8; 10.244.4.139 nomatch", "s src", _DROP),
    ("hash:net : 10.0.0.0/8; 10.244.0.0/16 nomatch", "s src --return-nomatch", _DROP),
    ("hash:net : 10.0.0.0/8", "s src --return-nomatch", _ACCEPT),
    ("hash:ip : 10.244.4.138", "s src --return-nomatch", _DROP),
    ("hash:net,net : 10.0.0.0/8,172.16.0.0/12", "s src,dst", _DROP),
    ("hash:net,net : 10.0.0.0/8,172.16.0.0/12", "s dst,src", _ACCEPT),
    ("hash:net,net : 10.0.0.0/8,172.31.0.0/16; 10.244.0.0/16,172.16.0.0/12 nomatch", "s src,dst", _ACCEPT),
    ("hash:net,net : 10.0.0.0/8,172.31.0.0/16 nomatch; 10.244.0.0/16,172.16.0.0/12", "s src,dst", _DROP),
    ("hash:ip,port : 10.244.4.138,tcp:10250", "s src,dst", _DROP),
    ("hash:ip,port : 10.244.4.138,10250", "s src,src", _ACCEPT),
    ("hash:ip,port : 10.244.4.138,udp:10250; 10.244.4.138,gre:0; 10.244.4.138,icmp:ping", "s src,dst", _ACCEPT),
    ("hash:ip,port : 10.244.4.138,tcp:10240-10260", "s src,dst", _DROP),
    ("hash:ip,port : 10.244.4.139,tcp:10250; 10.244.4.138,tcp:10251", "s src,dst", _ACCEPT),
    ("hash:ip,port : 10.244.4.138,tcp:10250", "s src", _ACCEPT),
    ("hash:ip,port : 10.244.4.138,tcp:10250", "s src,dst,dst", _DROP),
    ("hash:net,port : 10.0.0.0/8,tcp:10250", "s src,dst", _DROP),
    ("hash:net,port : 10.0.0.0/8,tcp:10250; 10.244.0.0/16,tcp:10250 nomatch", "s src,dst", _ACCEPT),
    ("hash:net,port : 10.0.0.0/8,tcp:10250; 10.244.0.0/16,tcp:80 nomatch", "s src,dst", _DROP),
    ("hash:ip,port,ip : 10.244.4.138,tcp:10250,172.31.16.124", "s src,dst,dst", _DROP),
    ("hash:ip,port,ip : 10.244.4.138,tcp:10250,172.31.16.125", "s src,dst,dst", _ACCEPT),
    ("hash:ip,port,ip : 172.31.16.124,tcp:10250,172.31.16.124", "s dst,dst,dst", _DROP),
    ("hash:ip,port,net : 10.244.4.138,tcp:10250,172.16.0.0/12", "s src,dst,dst", _DROP),
    ("hash:ip,port,net : 10.244.4.138,10250,172.16.0.0/12; 10.244.4.138,10250,172.31.0.0/16 nomatch", "s src,dst,dst", _ACCEPT),
    ("hash:ip,port,net : 10.244.4.138,10250,172.16.0.0/12; 10.244.4.1,10250,172.31.0.0/16 nomatch", "s src,dst,dst", _DROP),
    ("hash:net,port,net : 10.0.0.0/8,10250,172.16.0.0/12", "s src,dst,dst", _DROP),
    ("hash:net,port,net : 10.0.0.0/8,80,172.16.0.0/12", "s src,dst,dst", _ACCEPT),
    ("hash:net,iface : 10.0.0.0/8,cni0", "s src,src", _DROP),
    ("hash:net,iface : 10.0.0.0/8,eth0", "s src,src", _ACCEPT),
    ("hash:net,iface : 0.0.0.0/0,cni0", "s src,src", _DROP),
    ("hash:net,iface : 10.0.0.0/8,cni wildcard", "s src,src", _DROP),
    ("hash:net,iface : 10.0.0.0/8,cni", "s src,src", _ACCEPT),
    ("hash:net,iface : 10.0.0.0/8,cni0; 10.244.0.0/16,eth0", "s src,src", _ACCEPT),
    ("hash:net,iface : 10.0.0.0/8,cni0; 10.244.5.0/24,eth0", "s src,src", _DROP),
    ("hash:net,iface : 10.0.0.0/8,cni0; 10.244.0.0/16,cni0 nomatch", "s src,src", _ACCEPT),
    ("hash:net,iface : 10.244.0.0/16,cni0; 10.244.0.0/16,eth0 nomatch", "s src,src", _DROP),
    ("hash:net,iface : 10.0.0.0/8,physdev:cni0", "s src,src", _MAYBE),
    ("hash:mac : 02:00:00:00:00:02", "s src", _DROP),
    ("hash:mac", "s src", _ACCEPT),
    ("hash:ip,mac : 10.244.4.139,02:00:00:00:00:02", "s src,src", _ACCEPT),
    ("hash:ip,mac : 10.244.4.138,02:00:00:00:00:02", "s src,src", _DROP),
    ("hash:ip,mark : 10.244.4.138,0", "s src,src", _DROP),
    ("hash:ip,mark : 10.244.4.138,1", "s src,src", _ACCEPT),
    ("hash:ip,mark markmask 0xf0 : 10.244.4.138,0x100", "s src,src", _DROP),
    ("a=hash:ip : 10.244.4.138|s=list:set : a", "s src", _DROP),
    ("a=hash:ip : 10.244.4.139|b=hash:net : 10.0.0.0/8|s=list:set : a; b", "s src", _DROP),
    ("a=hash:ip : 10.244.4.139|b=hash:ip,port : 10.244.4.138,10250|s=list:set : a; b", "s src", _ACCEPT),
    ("a=hash:ip : 10.244.4.139|b=hash:ip,port : 10.244.4.138,10250|s=list:set : a; b", "s src,dst", _DROP),
    ("a=hash:ip family inet6 : fd00::1|b=hash:net : 10.0.0.0/8; 10.244.0.0/16 nomatch|s=list:set : a; b", "s src", _ACCEPT),
    ("a=hash:net : 10.0.0.0/8; 10.244.0.0/16 nomatch|s=list:set : a", "s src --return-nomatch", _DROP),
    ("list:set", "s src", _ACCEPT),
    ("hash:ip counters : 10.244.4.138", "s src ! --update-counters ! --update-subcounters", _DROP),
    ("hash:ip counters : 10.244.4.138", "s src --packets-gt 5", _MAYBE),
    ("hash:ip counters : 10.244.4.139", "s src --packets-lt 5", _ACCEPT),
]


def _id(case: object) -> str | None:
    return case if isinstance(case, str) else None


def _hold(kernel: Kernel, backend: str, text: str, case: Case, *, six: bool = False) -> None:
    tool, legacy, save = ("ip6tables", LEGACY_SAVE6, NFT_SAVE6) if six else ("iptables", LEGACY_SAVE, NFT_SAVE)
    readings = [legacy, IPSET_SAVE] if backend == "legacy" else [save, NFT_JSON, IPSET_SAVE]
    # A list holds on to its sets until it is emptied.
    load: Load = [
        (["ipset", "flush"], ""),
        (["ipset", "destroy"], ""),
        (["ipset", "restore"], text),
        ([f"{tool}-{backend}-restore"], restore_text(case.rules)),
    ]
    try:
        truth, packet = ask(kernel, case, load, readings)
    except RefusedRuleset as refused:
        if "set type not supported" in str(refused):
            pytest.skip("this kernel does not have the type")
        raise
    hold(case, truth, packet)


@pytest.mark.parametrize("backend", ["legacy", "nft"])
@pytest.mark.parametrize(("kind", "asked", "want"), _CASES, ids=_id)
def test_each_type(kernel: Kernel, backend: str, kind: str, asked: str, want: str) -> None:
    case = Case(kind, want, f"filter INPUT -m set --match-set {asked} -j DROP")
    _hold(kernel, backend, sets(*kind.split("|")), case)


@pytest.mark.parametrize("backend", ["legacy", "nft"])
@pytest.mark.parametrize(("kind", "asked", "want"), [row for row in _CASES if row[2] is not _MAYBE][::4], ids=_id)
def test_not_in_it(kernel: Kernel, backend: str, kind: str, asked: str, want: str) -> None:
    other = {_DROP: _ACCEPT, _ACCEPT: _DROP}[want]
    case = Case(kind, other, f"filter INPUT -m set ! --match-set {asked} -j DROP")
    _hold(kernel, backend, sets(*kind.split("|")), case)


@pytest.mark.parametrize("backend", ["legacy", "nft"])
@pytest.mark.parametrize(
    ("kind", "asked", "want"),
    [
        ("hash:ip family inet6 : fd00:10:244:4::8a", "s src", _DROP),
        ("hash:ip family inet6 netmask 64 : fd00:10:244:4::1", "s src", _DROP),
        ("hash:net family inet6 : fd00::/16; fd00:10::/32 nomatch", "s src", _ACCEPT),
        ("hash:ip,port family inet6 : fd00:10:244:4::8a,tcp:10250", "s src,dst", _DROP),
        ("hash:ip,port family inet6 : fd00:10:244:4::8a,icmpv6:ping", "s src,dst", _ACCEPT),
        ("hash:net,iface family inet6 : fd00::/16,cni0", "s src,src", _DROP),
        ("bitmap:port range 0-65535 : 10250", "s dst", _DROP),
        ("a=hash:ip : 10.244.4.138|s=list:set : a", "s src", _ACCEPT),
    ],
    ids=_id,
)
def test_ipv6(kernel: Kernel, backend: str, kind: str, asked: str, want: str) -> None:
    case = Case(kind, want, f"filter INPUT -m set --match-set {asked} -j DROP", to="node6")
    _hold(kernel, backend, sets(*kind.split("|")), case, six=True)


@pytest.mark.parametrize("backend", ["legacy", "nft"])
@pytest.mark.parametrize("name", ["weave-s_+ChJId4Uy_$}G;WdH|~TK)I", "x\\y", "<script>", "né"])
def test_names_of_any_characters(kernel: Kernel, backend: str, name: str) -> None:
    case = Case(name, _DROP, f"filter INPUT -m set --match-set {name} src -j DROP")
    _hold(kernel, backend, f"create {name} hash:ip\nadd {name} 10.244.4.138\n", case)


@pytest.mark.parametrize("backend", ["legacy", "nft"])
def test_a_set_that_rules_change_is_a_maybe(kernel: Kernel, backend: str) -> None:
    rules = """
    filter INPUT -j SET --add-set s src
    filter INPUT -m set --match-set s src -j DROP
    """
    _hold(kernel, backend, sets("hash:ip"), Case("knock", _MAYBE, rules))


@pytest.mark.parametrize("backend", ["legacy", "nft"])
def test_after_translation_the_new_port_is_asked(kernel: Kernel, backend: str) -> None:
    rules = """
    nat PREROUTING -p tcp -m tcp --dport 10250 -j REDIRECT --to-ports 8080
    filter INPUT -m set --match-set s src,dst -j DROP
    """
    _hold(kernel, backend, sets("hash:ip,port : 10.244.4.138,tcp:8080"), Case("redirect", _DROP, rules))
