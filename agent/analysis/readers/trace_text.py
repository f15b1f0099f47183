"""What a deep look printed, read: the lines of `nft -a monitor trace`, and of a tracefs instance. Never raises.

Sources: nftables src/netlink.c (trace_print_*), Linux include/trace/events/{skb,net,sock}.h.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

# The table that the trace itself is switched on in.
_OWN = "kubereach-trace"
_STEP = re.compile(
    r"^trace id \w+ (?P<family>\S+) (?P<table>\S+) (?P<chain>\S+) "
    r"(?:rule (?P<rule>.*)|unknown rule handle (?P<unknown>\d+)(?P<rest>.*)|policy (?P<policy>\w+).*|verdict (?P<bare>\w+).*)$"
)
_HANDLE = re.compile(r"# handle (\d+)\s*(?=\(verdict|$)")
_VERDICT = re.compile(r"\(verdict (\w+)")
_EVENT = re.compile(r"-(?P<task>\d+)\s+\[\d+\]\s+\S+\s+[\d.]+: (?P<name>\w+): (?P<rest>.*)$")
_FIELD = re.compile(r"(\w+)=(\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A rule, or a chain's policy, that a traced packet met, and what it said: accept, continue, drop, jump, ..."""

    family: str
    table: str
    chain: str
    verdict: str
    handle: int | None = None
    policy: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Where in the kernel a packet was thrown away (`nft_do_chain+0x3e8/0x610`), and its reason; empty before Linux 5.17."""

    location: str
    reason: str


def read_steps(text: str) -> tuple[Step, ...]:
    """Every rule and policy that was met, in order; the trace's own are left out."""
    return tuple(_steps(text))


def _steps(text: str) -> Iterator[Step]:
    for line in text.splitlines():
        found = _STEP.match(line.rstrip())
        if found is None or found["table"] == _OWN:
            continue
        said = found["rule"] or found["rest"] or ""
        verdict = _VERDICT.search(said)
        handle = _HANDLE.search(said)
        yield Step(
            family=found["family"],
            table=found["table"],
            chain=found["chain"],
            verdict=found["policy"] or found["bare"] or (verdict[1] if verdict else ""),
            handle=int(found["unknown"]) if found["unknown"] else int(handle[1]) if handle else None,
            policy=found["policy"] is not None,
            text=(found["rule"] or "").partition(" # handle ")[0],
        )


def read_drop(text: str, target: str, port: int, sport: int) -> Drop | None:
    """What became of the first packet of our connect, by its address: None where the kernel did not throw it away.

    The socket's change to SYN_SENT names the task; the next packet of that task is its SYN, and the same address in
    skb:kfree_skb is that packet's end, unless another packet had the address meanwhile.
    """
    task, packet, length = "", "", ""
    for line in text.splitlines():
        found = _EVENT.search(line)
        if found is None:
            continue
        fields = dict(_FIELD.findall(found["rest"]))
        if found["name"] == "inet_sock_set_state" and not task:
            if (fields.get("sport"), fields.get("dport")) == (str(sport), str(port)) and _goes_to(fields, target):
                task = found["task"]
        elif found["name"] == "net_dev_start_xmit" and task:
            if not packet and found["task"] == task:
                packet, length = fields.get("skbaddr", ""), fields.get("len", "")
            elif packet and fields.get("skbaddr") == packet and fields.get("len") != length:
                return None
        elif (
            found["name"] == "kfree_skb"
            and task
            and (fields.get("skbaddr") == packet or (not packet and found["task"] == task))
        ):
            return Drop(location=fields.get("location", ""), reason=found["rest"].partition("reason: ")[2].strip())
    return None


def _goes_to(fields: dict[str, str], target: str) -> bool:
    """%pI6c writes IPv6 addresses shortened, and IPv4 ones mapped."""
    try:
        return ip_address(target) in (ip_address(fields.get("daddr", "")), ip_address(fields.get("daddrv6", "")))
    except ValueError:
        return False
