"""Random rules of nft: tables of every family that sees IP packets, sets, intervals, maps, concatenations, any priority."""

import re
from collections.abc import Sequence
from random import Random

from tests.differential.nft_tests import NftTests
from tests.differential.values import MARKS, Values

_CHAINS = ("one", "two", "three")
# Chains at one priority have no order that a listing shows, and at -200 conntrack is in the way: those are asked of elsewhere.
_PRIORITIES = {"prerouting": (-450, 30), "input": (-300, 300)}
_ICMPX = ("port-unreachable", "admin-prohibited", "no-route", "host-unreachable")
_ICMP = ("net-unreachable", "host-unreachable", "prot-unreachable", "port-unreachable", "net-prohibited", "host-prohibited",
         "admin-prohibited")  # fmt: skip
_ICMP6 = ("no-route", "admin-prohibited", "addr-unreachable", "port-unreachable", "policy-fail", "reject-route")
_ENDS = ("accept", "drop", "reject", "dnat", "redirect")
_STATEFUL = ("limit rate 5/minute burst 5 packets", "numgen random mod 2 0", "numgen inc mod 3 0", "quota over 500 bytes")
# Words that settle the packet's version or its protocol: a rule may settle each but once.
_SETTLED = tuple(
    tuple(map(re.compile, each))
    for each in (
        (r"\bip6 |icmpv6|ipv6", r"\bip |\bicmp |ipv4|meta protocol"),
        (r"\btcp ", r"\budp ", r"\bicmp ", r"\bicmpv6 ", r"l4proto|protocol|nexthdr"),
    )
)


class NftRules:
    """Draws the rules of one firewall."""

    def __init__(self, random: Random, *, stateful: bool, spare: tuple[int, ...] = ()) -> None:
        """`spare` are priorities that other tables have already."""
        self.random = random
        self.values = Values(random)
        self.tests = NftTests(random)
        self.stateful = stateful
        self.taken = {-200, -100, 100, *spare}
        self.nat = [each for each in (-90, -110, -100) if each not in spare]
        self.family = "inet"

    def lines(self) -> list[str]:
        """A whole firewall, as commands."""
        lines: list[str] = []
        for name in ("t", "u", "v")[: self.random.choice((1, 1, 2, 3))]:
            self.family = self.random.choice(("inet", "inet", "inet", "ip", "ip6"))
            lines += self._table(f"{self.family} {name}")
        if self.stateful:
            rules = [index for index, line in enumerate(lines) if line.startswith("add rule")]
            if rules:
                at = self.random.choice(rules)
                place = " ".join(lines[at].split()[:5])
                verdict = self.random.choice(("accept", "drop", "return"))
                lines.insert(at, f"{place} {self.random.choice(_STATEFUL)} counter {verdict}")
        return lines

    def _table(self, table: str) -> list[str]:
        bases = [self._base(index) for index in range(self.random.choice((1, 2, 2, 3)))]
        users = list(_CHAINS[: self.random.choice((0, 1, 2, 3))])
        lines = [f"add table {table}", *(f"add set {table} {each}" for each in self._sets())]
        lines += [f"add chain {table} {name} {{ type {how} }}" for name, how, _ in bases]
        lines += [f"add chain {table} {name}" for name in users]
        lines += [f"add map {table} verdicts {{ type inet_service : verdict; elements = {{ {self._verdicts(users)} }} }}"]
        for name, _, kind in bases:
            lines += [f"add rule {table} {name} {self._rule(kind, users)}" for _ in range(self.random.choice((1, 2, 4, 7)))]
        for index, name in enumerate(users):
            # A named map may jump to any chain: rules of user chains that use it would make loops.
            later = users[index + 1 :]
            lines += [f"add rule {table} {name} {self._rule('user', later)}" for _ in range(self.random.choice((0, 1, 2, 4)))]
        return lines

    def _base(self, index: int) -> tuple[str, str, str]:
        """Name, what it hangs on, and its kind."""
        hook = self.random.choice(("input", "input", "prerouting"))
        policy = "drop" if self.values.chance(0.15) else "accept"
        if self.nat and self.values.chance(0.12):
            priority = self.nat.pop()
            return f"nat{index}", f"nat hook prerouting priority {priority}; policy {policy};", "nat"
        priority = -200
        while priority in self.taken:
            priority = self.random.randrange(*_PRIORITIES[hook])
        self.taken.add(priority)
        raw = hook == "prerouting" and priority < -200
        return f"{hook}{index}", f"filter hook {hook} priority {priority}; policy {policy};", "raw" if raw else hook

    def _sets(self) -> list[str]:
        values = self.values
        one, other = (values.address(4, source=True) for _ in range(2))
        net, six = values.network(4, source=True), values.network(6, source=True)
        names = ["ports { type inet_service; flags interval; elements = { 22, 10250-10255, 8000-9000 } }"]
        names.append('doors { type ifname; elements = { "cni0", "lo" } }')
        if self.family != "ip":
            names.append(f"six {{ type ipv6_addr; flags interval; auto-merge; elements = {{ {six} }} }}")
        if self.family != "ip6":
            pair, span = "type ipv4_addr . inet_service", f"{net} . 10000-10250, 10.9.0.0/16 . 1"
            names.append(f"four {{ type ipv4_addr; elements = {{ {', '.join(dict.fromkeys((one, other)))} }} }}")
            names.append(f"nets {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {net}, {one} }} }}")
            names.append(f"pairs {{ {pair}; elements = {{ {one} . {values.port()}, 10.9.9.9 . 1 }} }}")
            names.append(f"spans {{ {pair}; flags interval; elements = {{ {span} }} }}")
        return names

    def _verdicts(self, targets: list[str]) -> str:
        ports = sorted(self.random.sample((22, 443, 8080, 10250), 2))
        return ", ".join(f"{port} : {self._verdict(targets)}" for port in ports)

    def _verdict(self, targets: list[str]) -> str:
        jumps = [f"{word} {each}" for word in ("jump", "goto") for each in targets]
        return self.random.choice(("accept", "drop", "return", "continue", *jumps))

    def _rule(self, kind: str, later: list[str]) -> str:
        """Tests and an action; nft refuses a rule that names two protocols, or tests for what cannot be."""
        action = self._act(kind, later)
        # A rule that ends the packet asks for more than one that does not: most packets shall see many rules.
        ends = action[-1].startswith(_ENDS)
        wanted = self.random.choice((1, 1, 2, 3) if ends else (0, 0, 0, 1, 2))
        words = [self.tests.draw_mark()] if ends and self.values.chance(0.3) else list[str]()
        while len(words) < wanted:
            words.append(self.tests.draw(self.family))
            if not _agree([*words, *action]) or _doubled(words):
                words.pop()
        return " ".join([*words, *action])

    def _act(self, kind: str, later: list[str]) -> list[str]:
        kinds = ["accept", "return", "counter", "mark", "mark", "mark", "ctmark", "ctmark", "log"]
        kinds += ["drop"] + (["accept"] + ["reject"] * 3 if kind == "input" else ["reject"] if kind == "prerouting" else [])
        kinds += ["jump"] * 4 + ["goto"] * 2 if later else []
        kinds += ["vmap"] * 2 + (["named"] * 2 if kind != "user" else [])
        kinds += ["notrack"] * 3 if kind == "raw" else []
        kinds += ["dnat"] * 6 if kind == "nat" else []
        act = self.random.choice(kinds)
        made = {
            "jump": lambda: ["counter", "jump", self.random.choice(later)],
            "goto": lambda: ["counter", "goto", self.random.choice(later)],
            "mark": lambda: ["counter", f"meta mark set {self._marking('meta mark')}"],
            "ctmark": lambda: ["counter", f"ct mark set {self._marking('ct mark')}"],
            "reject": self._reject,
            "vmap": lambda: self._vmap(later),
            "named": lambda: [f"{self.random.choice(('tcp', 'udp'))} dport", "vmap @verdicts"],
            "dnat": self._translation,
            "log": lambda: ["counter", 'log prefix "x "'],
            "counter": lambda: ["counter"],
        }
        return made[act]() if act in made else ["counter", act]

    def _vmap(self, later: list[str]) -> list[str]:
        def pick() -> str:
            return self._verdict(later)

        maps = [
            f"iifname vmap {{ cni0 : {pick()}, eth0 : {pick()} }}",
            f'iifname vmap {{ "eth*" : {pick()}, lo : {pick()} }}',
            f"meta l4proto vmap {{ tcp : {pick()}, udp : {pick()}, icmp : {pick()} }}",
            f"tcp dport vmap {{ 22 : {pick()}, 10250-10260 : {pick()} }}",
            f"ct state vmap {{ established : accept, invalid : {pick()}, new : {pick()}, untracked : {pick()} }}",
            f"meta mark vmap {{ 0x0 : {pick()}, 0x5 : {pick()} }}",
        ]
        if self.family != "ip6":
            maps.append(f"ip saddr vmap {{ 10.244.4.0/24 : {pick()}, 172.31.0.0/16 : {pick()} }}")
            maps.append(f"ip saddr . tcp dport vmap {{ 10.244.4.138 . 10250 : {pick()}, 10.244.4.139 . 22 : {pick()} }}")
        # Without a counter: nft hides the tests that a map takes for granted, and they come behind it.
        return [self.random.choice(maps)]

    def _reject(self) -> list[str]:
        choices = ["", "with tcp reset"]
        if self.family == "inet":
            choices += [f"with icmpx {each}" for each in _ICMPX]
        if self.family != "ip6":
            choices += [f"with icmp {each}" for each in _ICMP]
        if self.family != "ip":
            choices += [f"with icmpv6 {each}" for each in _ICMP6]
        how = self.random.choice(choices)
        return [*_granted(how, self.family), "counter", f"reject {how}".strip()]

    def _translation(self) -> list[str]:
        version = 6 if self.family == "ip6" else 4
        address = self.values.address(version, source=False)
        word = {"inet": "dnat ip to", "ip": "dnat to", "ip6": "dnat to"}[self.family]
        port = self.values.port()
        written = f"{address}:{port}" if version == 4 else f"[{address}]:{port}"
        asked = f"tcp dport {self.values.port()}"
        granted = _granted(word, self.family)
        return self.random.choice((
            [*granted, "counter", f"{word} {address}"], ["counter", "redirect"], [asked, "counter", f"redirect to :{port}"],
            [asked, *granted, "counter", f"{word} {written}"],
        ))  # fmt: skip

    def _marking(self, own: str) -> str:
        mark, mask = (f"{self.random.choice(MARKS):#x}" for _ in range(2))
        other = "ct mark" if own == "meta mark" else "meta mark"
        changed = (f"{own} or {mark}", f"{own} and {mask}", f"{own} xor {mark}", f"{own} and {mask} or {mark}")
        return self.random.choice((mark, mark, *changed, other, f"{other} and {mask}"))


def _doubled(words: Sequence[str]) -> bool:
    """Whether one key is asked twice: nft makes one test of `ip ttl < 64 ip ttl > 63` when it prints it, and a wrong one."""
    keys = [tuple(each.split()[:2]) for each in words]
    return len(set(keys)) < len(keys)


def _granted(action: str, family: str) -> list[str]:
    """The test that an action takes for granted, which nft would add behind the rule's counter."""
    if "reset" in action:
        return ["meta l4proto tcp"]
    if family != "inet" or "icmpx" in action:
        return []
    return (
        ["meta nfproto ipv6"] if "icmpv6" in action else ["meta nfproto ipv4"] if "icmp" in action or "ip to" in action else []
    )


def _agree(words: Sequence[str]) -> bool:
    """Whether nothing is settled twice; what a set or map holds, and how REJECT answers, settles nothing."""
    text = " ".join(each for each in words if not each.startswith("reject")).replace("meta l4proto tcp", "tcp dport")
    text = re.sub(r"\{[^}]*\}", "", f"{text} ")
    return all(sum(bool(each.search(text)) for each in which) <= 1 for which in _SETTLED)
