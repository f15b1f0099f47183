"""What is refused: intent, an accept that cannot help, and every order outside the guards."""

import json
import random
import subprocess
from dataclasses import replace
from ipaddress import ip_network

from agent.host import operations
from agent.host.answers import Answers
from agent.host.fixing import lease
from agent.host.fixing.filter_table import OURS
from agent.host.workers import Workers
from agent.model.codec import to_plain
from agent.model.plan import Flow
from tests.lab.fixing import rig
from tests.lab.fixing.cases.setting import by, count, refused


def case_intent_is_respected(backend: str) -> None:
    for words in (
        ("-p", "tcp", "--dport", "10250", "-j", "DROP"),
        ("-s", str(ip_network(rig.FLOW.source).supernet(8)), "-j", "REJECT"),
        ("-i", "cni0", "-j", "DROP"),
        ("-p", "tcp", "-m", "multiport", "--dports", "10250,10255", "-j", "REJECT"),
    ):
        rig.iptables(backend, "-I", "INPUT", "1", *words)
        fixer = rig.fixer(twin=rig.said)
        ground = fixer.ground(operations.GroundArguments(backend, rig.VERSION, "INPUT"))
        made = rig.order(fixer, backend)
        with refused("guard", "looks meant"):
            fixer.apply(replace(made, place=replace(made.place, before=ground.rules[0])))
        rig.iptables(backend, "-D", "INPUT", "1")
    assert rig.ours(backend) == []


def case_an_accept_that_cannot_help_is_not_tried(backend: str) -> None:
    """Another base chain drops as well: the broker's own twin says so, and nothing is written."""
    drop = f"{'ip6' if rig.VERSION == 6 else 'ip'} saddr {rig.FLOW.source} tcp dport 10250 drop"
    table = f"table inet x {{\n chain in {{\n type filter hook input priority 10;\n {drop}\n }}\n}}\n"
    subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)
    fixer, before = rig.fixer(), rig.rules_of(backend)
    try:
        with refused("guard", "does not help"):
            fixer.apply(rig.order(fixer, backend))
        assert rig.rules_of(backend) == before
        assert lease.our_sets() == ()
    finally:
        subprocess.run(["nft", "delete", "table", "inet", "x"], check=True)


def case_two_backends_by_accept_drop_reject(backend: str) -> None:
    """Every combination but the one where both accept: an ACCEPT goes in only where the pod then really gets through."""
    pod, verdicts, seen = rig.Pod(), ("ACCEPT", "DROP", "REJECT"), 0
    other = "nft" if backend == "legacy" else "legacy"
    for mine, theirs in ((one, two) for one in verdicts for two in verdicts if (one, two) != ("ACCEPT", "ACCEPT")):
        for name, verdict in ((backend, mine), (other, theirs)):
            rig.iptables(name, "-F", "INPUT")
            rig.iptables(name, "-A", "INPUT", "-i", "lo", "-j", "ACCEPT")
            if rig.VERSION == 6:
                rig.iptables(name, "-A", "INPUT", *rig.NEIGHBOURS)
            rig.iptables(name, "-A", "INPUT", "-j", verdict)
        assert not pod.gets_through()
        fixer, before = rig.fixer(), (rig.rules_of("legacy"), rig.rules_of("nft"))
        made = rig.order(fixer, backend)
        if mine != "ACCEPT" and theirs == "ACCEPT":
            fixer.apply(made)
            assert pod.gets_through(), (mine, theirs)
            fixer.revert(by(made.id))
        else:
            with refused("guard"):
                fixer.apply(made)
        assert (rig.rules_of("legacy"), rig.rules_of("nft")) == before, (mine, theirs)
        seen += 1
    assert seen == 8
    rig.iptables(other, "-F", "INPUT")


def case_fuzzed_requests_get_no_rule_outside_the_guards(backend: str) -> None:
    """10,000 requests straight to the broker in all (four labs), each a good one with something changed: no other rule."""
    answers = Answers(rig.SETTINGS, Workers(), lambda _: None)
    answers.fixer = rig.fixer(twin=rig.said)
    for name in ("apply", "confirm", "revert", "verified", "sweep", "fixes", "ground"):
        method = getattr(answers.fixer, name)
        bare = name in ("sweep", "fixes")
        answers._operations[name] = (
            (lambda _, method=method: method()) if bare
            else (lambda arguments, method=method: method(arguments.order)) if name == "apply"
            else method
        )  # fmt: skip
    chance, good = random.Random(f"{backend} {rig.VERSION}"), to_plain(rig.order(answers.fixer, backend))
    pristine, allowed = rig.rules_of(backend), 0
    for number in range(count(2500, 10000)):
        made = mutated(json.loads(json.dumps(good)), chance)
        operation = chance.choice(("apply",) * 8 + ("confirm", "revert"))
        arguments = (
            {"order": made} if operation == "apply" else {"id": made.get("id", ""), "lease": made.get("lease"), "caller": ""}
        )
        if operation == "revert":
            arguments = {"id": made.get("id"), "caller": "", "why": ""}
        answer = answers.answer({"op": operation, "arguments": arguments}).body
        assert set(answer) in ({"value"}, {"error", "message"}), answer
        if (operation != "apply" or "value" not in answer) and number % 500:
            continue
        for line in rig.rules_of(backend):
            found = OURS.fullmatch(line)
            if line in pristine:
                continue
            assert found, line
            flow = Flow(source=found["source"], destination=found["destination"].split("/")[0], port=int(found["port"]))
            assert flow == rig.FLOW or ip_network(flow.source).subnet_of(ip_network(rig.FLOW.source)), line
            assert (flow.destination, flow.port, found["chain"]) == (rig.NODE_ADDRESS, 10250, "INPUT"), line
            allowed += 1
        rig.forget_state()
    assert allowed, "not even a good request got through: this proves nothing"
    assert rig.rules_of(backend) == pristine


WILD: tuple[object, ...] = (
    *("", "0.0.0.0/0", "::/0", "0.0.0.0/1", "10.0.0.0/8", "10.244.4.0/24", "10.244.4.7/32", "10.244.0.0/16"),
    *(
        "fd00::/8",
        "fd00:10:244:4::/64",
        "fd00:10:244:4::7/128",
        "fd00:10:244::/48",
        "fd00:172:31::124",
        "::1",
        "fe80::1",
        "ff02::1",
    ),
    *("127.0.0.1", "127.0.0.0/8", "169.254.169.254", "224.0.0.0/4", "! 10.244.4.0/24", "10.244.4.0/24,0.0.0.0/0"),
    *("010.244.4.0/24", "::ffff:10.244.4.0/120", "10.244.4.1", "172.31.16.124", "172.31.22.159", "172.31.16.0/20"),
    *("INPUT", "FORWARD", "OUTPUT", "KUBE-FIREWALL", "INPUT -j ACCEPT", "INPUT\n-A INPUT -j ACCEPT", "-A INPUT -j ACCEPT"),
    *("legacy", "nft", "agent", "$(id)", "x" * 5000, "\x00"),
    *(0, 1, -1, 22, 10250, 10251, 65535, 65536, 60, 61, 86400, 86401, 10**12, 1.5, True, False, None, [], {}),
)


def mutated(value: dict[str, object], chance: random.Random) -> dict[str, object]:
    """The order with one to three of its values replaced, dropped or added."""
    if chance.random() < 0.02:
        return value
    for _ in range(chance.randint(1, 3)):
        target = chance.choice([value, value, value.get("flow"), value.get("flow"), value.get("place")])
        if not isinstance(target, dict) or not target:
            continue
        key = chance.choice(sorted(target))
        what = chance.random()
        if what < 0.85:
            target[key] = chance.choice(WILD)
        elif what < 0.95:
            del target[key]
        else:
            target[f"{key}2"] = chance.choice(WILD)
    return value
