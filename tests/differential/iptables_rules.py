"""Random rules of iptables: every table and hook on a packet's way to this node, every match and target that can be decided."""

from random import Random

from tests.differential.iptables_tests import IptablesTests
from tests.differential.values import MARKS, Values

_HOOKS = {
    "raw": ("PREROUTING",),
    "mangle": ("PREROUTING", "INPUT"),
    "nat": ("PREROUTING", "INPUT"),
    "filter": ("INPUT",),
    "security": ("INPUT",),
}
_CHAINS = ("KUBE-A", "cali-B", "f2b_C", "d")
_REPLIES = {
    4: ("icmp-net-unreachable", "icmp-host-unreachable", "icmp-proto-unreachable", "icmp-port-unreachable",
        "icmp-net-prohibited", "icmp-host-prohibited", "icmp-admin-prohibited"),
    6: ("icmp6-no-route", "icmp6-adm-prohibited", "icmp6-addr-unreachable", "icmp6-port-unreachable", "icmp6-policy-fail",
        "icmp6-reject-route"),
}  # fmt: skip
_ENDS = ("-j ACCEPT", "-j DROP", "-j REJECT", "-j DNAT", "-j REDIRECT")
_STATEFUL = (
    "-m limit --limit 5/min --limit-burst 5",
    "-m statistic --mode random --probability 0.5",
    "-m statistic --mode nth --every 3 --packet 0",
    "-m recent --name r --set",
    "-m recent --name r --rcheck",
)


class IptablesRules:
    """Draws the rules of one firewall."""

    def __init__(self, random: Random, version: int, *, stateful: bool) -> None:
        self.random = random
        self.values = Values(random)
        self.version = version
        self.tests = IptablesTests(random, version)
        self.stateful = stateful

    def lines(self) -> list[str]:
        """A whole firewall, in the form of `Firewall.legacy`."""
        tables = [name for name in _HOOKS if name == "filter" or self.values.chance(0.3)]
        lines = [line for name in tables for line in self._table(name)]
        if self.stateful and not any(each.split()[2:] and " -m limit" in each for each in lines):
            at = self.random.choice([index for index, line in enumerate(lines) if len(line.split()) > 3] or [len(lines)])
            lines.insert(
                at, f"filter INPUT {self.random.choice(_STATEFUL)} -j {self.random.choice(('ACCEPT', 'DROP', 'RETURN'))}"
            )
        return lines

    def _table(self, table: str) -> list[str]:
        users = list(_CHAINS[: self.random.choice((0, 1, 2, 3, 4))])
        policy = "DROP" if self.values.chance(0.25 if table == "filter" else 0.05) and table != "nat" else "ACCEPT"
        heads = [
            f"{table} {hook} {policy if hook == 'INPUT' or self.values.chance(0.3) else 'ACCEPT'}" for hook in _HOOKS[table]
        ]
        heads += [f"{table} {name}" for name in users]
        rules = []
        for index, chain in enumerate((*_HOOKS[table], *users)):
            later = users[max(0, index - len(_HOOKS[table]) + 1) :]
            for _ in range(self.random.choice((0, 1, 2, 3, 5, 8))):
                rules.append(f"{table} {chain} {self._rule(table, chain, later)}")
        return heads + rules

    def _rule(self, table: str, chain: str, later: list[str]) -> str:
        protocol = self.random.choice(("tcp", "tcp", "tcp", "udp", "udp", "icmp", "", "", "", "esp", "253", "all"))
        if protocol == "icmp" and self.version == 6:
            protocol = "ipv6-icmp"
        words = []
        negated = protocol not in ("", "all") and self.values.chance(0.1)
        if protocol:
            words.append(f"{'! ' if negated else ''}-p {protocol}")
        target = self._target(table, chain, later, "" if negated else protocol)
        asks = self.tests.about_protocol(protocol) if not negated and self.values.chance(0.6) else []
        # A rule that ends the packet asks for more than one that does not: most packets shall see many rules.
        ends = target[:1] != [] and target[0].startswith(_ENDS)
        asks += [self.tests.draw() for _ in range(self.random.choice((1, 1, 2, 3) if ends else (0, 0, 0, 1, 2)))]
        if ends and self.values.chance(0.3):
            asks.append(self.tests.draw_mark())
        # An option or extension may stand but once in a rule.
        once = {_name(each): each for each in asks}
        return " ".join([*words, *once.values(), *target]) or "-m comment --comment nothing"

    def _target(self, table: str, chain: str, later: list[str], protocol: str) -> list[str]:
        kinds = ["ACCEPT", "RETURN", "", "MARK", "MARK", "MARK", "CONNMARK", "CONNMARK", "LOG"]
        kinds += ["DROP"] if table != "nat" else []
        kinds += ["ACCEPT"] * 2 + ["DROP"] + ["REJECT"] * 3 if table == "filter" else []
        kinds += ["jump"] * 5 + ["goto"] * 2 if later else []
        kinds += ["NOTRACK"] * 2 if table == "raw" else []
        kinds += ["DNAT", "REDIRECT"] * 2 if table == "nat" and chain == "PREROUTING" else []
        kind = self.random.choice(kinds)
        if kind in ("jump", "goto"):
            return [f"{'-g' if kind == 'goto' else '-j'} {self.random.choice(later)}"]
        if kind == "REJECT":
            replies = (*_REPLIES[self.version], *(("tcp-reset",) * 4 if protocol == "tcp" else ()))
            return [f"-j REJECT --reject-with {self.random.choice(replies)}"]
        if kind in ("MARK", "CONNMARK"):
            return [f"-j {kind} {self._marking(kind)}"]
        if kind == "NOTRACK":
            return ["-j CT --notrack"]
        if kind in ("DNAT", "REDIRECT"):
            return [f"-j {kind}{self._translation(kind, protocol)}"]
        return [f"-j {kind}"] if kind else []

    def _translation(self, kind: str, protocol: str) -> str:
        port = self.values.port() if protocol in ("tcp", "udp") and self.values.chance(0.6) else None
        if kind == "REDIRECT":
            return f" --to-ports {port}" if port is not None else ""
        address = self.values.address(self.version, source=False)
        if port is None:
            return f" --to-destination {address}"
        return f" --to-destination {address if self.version == 4 else f'[{address}]'}:{port}"

    def _marking(self, kind: str) -> str:
        mark, mask = self.random.choice(MARKS), self.random.choice(MARKS)
        if kind == "CONNMARK" and self.values.chance(0.5):
            masks = f" --nfmask {mark:#x} --ctmask {mask:#x}" if self.values.chance(0.5) else ""
            return f"{self.random.choice(('--save-mark', '--restore-mark'))}{masks}"
        word = self.random.choice(("set-mark", "set-xmark", "and-mark", "or-mark", "xor-mark"))
        masked = f"/{mask:#x}" if word in ("set-mark", "set-xmark") and self.values.chance(0.5) else ""
        return f"--{word} {mark:#x}{masked}"


def _name(match: str) -> str:
    """`-s`, `-i`, `-m mark`: what a match is, whatever it asks."""
    words = match.removeprefix("! ").split()
    return " ".join(words[:2]) if words[0] == "-m" else words[0]
