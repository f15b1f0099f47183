"""One firewall after the other in this network namespace, read whole and read in part: every answer has to be the same.

Run as a program in a namespace of its own: `random SEED FIREWALLS`, or `collected BYTES` for the files up to
that size. Prints what was compared; a difference ends it.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any

from agent.analysis.path.explain import Way, explain_way
from agent.analysis.path.partition import explain_sources
from agent.analysis.path.reach import Asked
from agent.analysis.readers.read import read_firewall
from agent.host import firewall
from agent.host.in_parts import Held, hold
from agent.host.operations import MaybeParts
from agent.host.readings import KnownParts
from agent.host.trials import Trial
from agent.host.workers import TWIN, Workers
from agent.model.capture import Firewall, Problem
from agent.model.codec import from_plain, to_plain
from agent.model.explanation import Explanation, Verdict
from agent.model.outline import Part
from agent.model.packet import Packet
from agent.model.twin import TwinInterface, TwinRequest, TwinResult
from agent.render.data import as_json
from agent.service.reading import read_again, read_for
from tests.differential.campaign import make_firewall
from tests.differential.shots import make_shots
from tests.lab.kernel_truth import Load
from tests.lab.test_collected_rulesets import RULESETS, loadable, prepare

_HIDDEN = "has rules that iptables cannot show"
WAYS = (Way.TO_NODE, Way.TO_NODE, Way.FORWARD, Way.FROM_HOST, Way.REPLY)
POD = Packet(
    source=ip_address("10.244.4.138"),
    destination=ip_address("172.31.16.124"),
    dport=10250,
    iif="cni0",
    local=(ip_address("172.31.16.124"), ip_address("10.244.4.1")),
)
POD6 = replace(POD, source=ip_address("fd00:10:244:4::8a"), destination=ip_address("fd00:172:31:16::7c"), local=())


class Host:
    """The firewall of this namespace, as a broker answers for it. `whole` counts how often all of it was asked for."""

    def __init__(self) -> None:
        self.whole = 0

    def firewall(self) -> Firewall:
        self.whole += 1
        return firewall.capture()

    def survey(self) -> Firewall:
        return firewall.survey()

    def parts(self, generation: int, wanted: Sequence[Part]) -> MaybeParts:
        assert all(map(firewall.may_ask, wanted)), wanted
        found = firewall.read_parts(generation, wanted)
        asked = any(firewall.MENTION in part.save.stdout for part in found or () if part.save is not None)
        return MaybeParts(found, firewall.read_sets() if asked else ())


@dataclass
class Tally:
    firewalls: int = 0
    refused: int = 0
    answers: int = 0
    hidden: int = 0
    whole: int = 0
    chains_read: int = 0
    chains: int = 0
    twins: int = 0
    unsure: int = 0


def without_remark(explanation: Explanation) -> Explanation:
    return replace(explanation, problems=tuple(each for each in explanation.problems if _HIDDEN not in each))


def compare(tally: Tally, asked: Sequence[Asked], name: str) -> None:
    """Raises `AssertionError` where the whole reading answers otherwise than the reading for these packets."""
    host: Any = Host()
    whole, part = firewall.capture(), read_for(host, asked)
    tally.firewalls += 1
    tally.whole += host.whole
    assert (part.outline is None) == bool(host.whole)
    if part.outline is not None:
        tally.chains += part.outline.chains_in_all
        tally.chains_read += sum(item.part.kind == "chain" for item in part.parts)
    assert from_plain(Firewall, to_plain(part)) == part
    again = read_again(host, part, asked)
    entire = read_firewall(whole)
    for reading in (part, again):
        found = read_firewall(reading)
        for each in asked:
            if each.sources is not None:
                one, other = (explain_sources(rules, each.packet, each.sources) for rules in (entire, found))
            else:
                one, other = (explain_way(rules, each.packet, each.way) for rules in (entire, found))
            if _HIDDEN in as_json(one):
                # iptables prints no chain of a table where one rule is nft's own, but each other chain when asked for it.
                one, other = (
                    replace(each, problems=tuple(p for p in each.problems if _HIDDEN not in p)) for each in (one, other)
                )
                tally.hidden += 1
                if one.verdict is Verdict.UNDECIDED and other.verdict is not Verdict.UNDECIDED:
                    continue
            assert as_json(one) == as_json(other), f"{name}: {each}\n--- whole\n{as_json(one)}\n--- in part\n{as_json(other)}"
            tally.answers += 1


def compare_twins(tally: Tally, workers: Workers, asked: Sequence[Asked], name: str) -> None:
    """Raises `AssertionError` where the twin of the chains that count sees another thing than that of all of them."""
    host: Any = Host()
    part = read_for(host, asked)
    if part.outline is None:
        return
    packet = next(each.packet for each in asked if each.sources is not None)
    (cni, eth) = ("fd00:10:244:4::1/64", "/64") if packet.version == 6 else ("10.244.4.1/24", "/20")
    request = TwinRequest(
        source=packet.source,
        destination=packet.destination,
        iif="cni0",
        dport=10250,
        interfaces=(
            TwinInterface(name="cni0", addresses=(cni,)),
            TwinInterface(name="eth0", addresses=(f"{packet.destination}{eth}",)),
        ),
    )
    known, names = KnownParts(), [item.part for item in part.parts]
    in_part = (hold(names, known.outline, known.recall, whole=whole) for whole in (False, True))
    whole, *others = (
        workers.ask(TWIN, {"request": to_plain(request), "held": to_plain(held)}, Trial).result
        for held in (Held(firewall.capture()), *in_part)
    )
    if whole.not_modelled or whole.fresh:  # chance, and what the kernel remembers, may differ from one trial to the next
        tally.unsure += 1
        return
    for other in others:
        assert comparable(whole) == comparable(other), f"{name}\n--- whole\n{whole}\n--- in part\n{other}"
    tally.twins += 1


def comparable(result: TwinResult) -> tuple[object, ...]:
    """What two trials of the same packet have in common.

    Under IPv6 the twin's own interfaces ask for neighbours meanwhile. iptables makes all base chains of a table where nft's own
    listing has one: their policies count, too.
    """
    rules = (rule for rule in result.rules if not rule.policy)
    met = {replace(rule, packets=1) for rule in rules if rule.family != "ip6" or "OUT" not in rule.chain.upper()}
    return result.verdict, result.reply, result.icmp, result.problem, result.not_modelled, met


def random_cases(seed: int, number: int) -> Iterator[tuple[str, Load, list[Asked]]]:
    random = Random(seed)
    for index in range(number):
        made = make_firewall(random)
        shots = make_shots(random, made.versions, 6)
        asked = [Asked(shot.model(), random.choice(WAYS)) for shot in shots]
        networks = {4: ip_network("10.244.4.0/24"), 6: ip_network("fd00:10:244:4::/120")}
        asked.append(Asked(POD if 4 in made.versions else POD6, sources=networks[4 if 4 in made.versions else 6]))
        yield f"seed {seed}, firewall {index}", made.load, asked


def collected_cases(most: int) -> Iterator[tuple[str, Load, list[Asked]]]:
    for name, backend in loadable():
        text = (RULESETS / name).read_text(encoding="utf-8", errors="surrogateescape")
        if len(text) > most:
            continue
        six = "ip6tables" in name
        pod = POD6 if six else POD
        network = ip_network("fd00:10:244:4::/120" if six else "10.244.4.0/24")
        host = replace(pod, source=pod.destination, iif="lo")
        away = replace(pod, destination=ip_address("fd00:172:31:16::9" if six else "172.31.22.159"), iif=None, oif="eth0")
        asked = [Asked(pod), Asked(pod, sources=network), Asked(host), Asked(away, Way.FORWARD)]
        yield f"{name} ({backend})", prepare(name, text, backend)[0].load, asked


def clear() -> None:
    lines = [["nft", "flush", "ruleset"], ["ipset", "destroy"]]
    for tool in ("iptables-legacy", "ip6tables-legacy"):
        listed = firewall.legacy_tables("ip" if tool[2] == "t" else "ip6", list[Problem]())
        lines += [[tool, "-t", table, flag] for table in listed for flag in ("-F", "-X")]
        if "filter" in listed:
            lines += [[tool, "-P", chain, "ACCEPT"] for chain in ("INPUT", "FORWARD", "OUTPUT")]
    for line in lines:
        subprocess.run(line, check=False, capture_output=True)


def main() -> None:
    firewall.WHOLE = -1  # never small enough to be read whole
    mode, *numbers = sys.argv[1:]
    tally, workers = Tally(), Workers()
    for name, load, asked in {"collected": collected_cases, "random": random_cases}[mode](*map(int, numbers)):
        clear()
        done = [
            subprocess.run(argv, input=text.encode(errors="surrogateescape"), capture_output=True, check=False)
            for argv, text in load
        ]
        if any(each.returncode for each in done):
            tally.refused += 1
            continue
        compare(tally, asked, name)
        compare_twins(tally, workers, asked, name)
    workers.close()
    print(tally)
    assert tally.answers > 3 * tally.firewalls > 0
    assert tally.chains_read < tally.chains


if __name__ == "__main__":
    main()
