"""Faults and guards, a function each: `python -m tests.lab.fixing.cases BACKEND [WORD]`, on the lab's node.

Says in JSON what became of each: empty where it held, else the trace. Each starts with the incident's own rules and no state.
"""

import fcntl
import json
import os
import random
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

from agent.host import operations
from agent.host.answers import Answers
from agent.host.errors import FixRefused
from agent.host.fixing import lease, lock, sweep
from agent.host.fixing.filter_table import OURS
from agent.host.workers import Workers
from agent.lab.topology import NODE, STATE_DIR, WEB
from agent.model.codec import to_plain
from agent.model.plan import Flow
from tests.lab.fixing import rig

Case = Callable[[str], None]


@contextmanager
def refused(kind: str, words: str = "") -> Iterator[None]:
    """What happens inside must be refused, for this reason."""
    try:
        yield
    except FixRefused as refusal:
        found = refusal
    else:
        raise AssertionError("it was not refused")
    assert found.kind == kind, (found.kind, str(found))
    assert words in str(found), str(found)


def by(fix_id: str, why: str = "test") -> operations.FixArguments:
    return operations.FixArguments(fix_id, "test", why)


def case_an_accept_opens_ends_by_itself_and_leaves_nothing(backend: str) -> None:
    pod, fixer, pristine = rig.Pod(), rig.fixer(), rig.rules_of(backend)
    assert not pod.gets_through()
    began = time.time()
    fix = fixer.apply(rig.order(fixer, backend, 2))
    assert pod.gets_through()
    (rule,) = rig.ours(backend)
    assert rig.rules_of(backend).index(rule) == len(pristine) - 1
    rig.until(time.time() + 3.1)  # with nobody of ours at work
    assert not pod.gets_through(), time.time() - began
    assert rig.ours(backend) == [rule]
    assert [str(item.state) for item in rig.fixer().sweep().fixes] == ["expired"]
    assert rig.rules_of(backend) == pristine
    assert lease.our_sets() == ()
    assert fix.set_name


def case_confirm_extends_and_revert_ends(backend: str) -> None:
    pod, fixer, pristine = rig.Pod(), rig.fixer(twin=rig.said), rig.rules_of(backend)
    fix = fixer.apply(rig.order(fixer, backend, 2))
    with refused("changed", "on trial"):
        fixer.confirm(operations.ConfirmArguments(fix.id, 60, "test"))  # nobody has tried it by a connect
    fixer.verified(by(fix.id))
    fixer.confirm(operations.ConfirmArguments(fix.id, 60, "test"))
    assert len(rig.ours(backend)) == 1
    rig.until(fix.ends + 2)
    assert pod.gets_through()
    fixer.confirm(operations.ConfirmArguments(fix.id, 30, "test"))
    assert fixer.revert(by(fix.id)).state == "reverted"
    assert fixer.revert(by(fix.id)).state == "reverted"
    assert rig.rules_of(backend) == pristine
    assert not pod.gets_through()


def case_two_operators_get_one_rule_and_one_fix(backend: str) -> None:
    fixer = rig.fixer(twin=rig.said)
    orders = [rig.order(fixer, backend) for _ in range(8)]
    found: list[str] = []
    threads = [Thread(target=lambda each=each: found.append(fixer.apply(each).id)) for each in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(rig.ours(backend)) == 1


def case_at_most_four_are_alive(backend: str) -> None:
    fixer = rig.fixer(twin=rig.said)
    for number in range(5):
        flow = replace(rig.FLOW, source=f"10.244.4.{16 * number}/28")
        each = rig.order(fixer, backend, flow=flow)
        if number < 4:
            fixer.apply(each)
        else:
            with refused("guard", "alive"):
                fixer.apply(each)
    assert len(rig.ours(backend)) == 4


def case_a_change_after_the_plan_is_a_conflict(backend: str) -> None:
    fixer = rig.fixer(twin=rig.said)
    made = rig.order(fixer, backend)
    rig.iptables(backend, "-I", "INPUT", "2", "-p", "tcp", "--dport", "80", "-j", "ACCEPT")
    before = rig.rules_of(backend)
    with refused("changed"):
        fixer.apply(made)
    assert rig.rules_of(backend) == before


def case_a_change_elsewhere_is_none(backend: str) -> None:
    fixer = rig.fixer(twin=rig.said)
    made = rig.order(fixer, backend)
    rig.iptables(backend, "-I", "FORWARD", "-p", "tcp", "--dport", "80", "-j", "ACCEPT")
    subprocess.run(["nft", "add", "table", "ip", "unrelated"], check=True)
    assert fixer.apply(made).state == "applied"


def case_a_flapping_table_does_not_stop_it(backend: str) -> None:
    fixer = rig.fixer(twin=rig.said)
    made = rig.order(fixer, backend)
    with subprocess.Popen(["sh", "-c", "while :; do nft add table ip flap; nft delete table ip flap; done"]) as flapping:
        try:
            assert fixer.apply(made).state == "applied"
        finally:
            flapping.kill()
    assert len(rig.ours(backend)) == 1


def case_a_busy_lock_is_waited_for_and_then_told(backend: str) -> None:
    fixer = rig.fixer(replace(rig.SETTINGS, lock_wait=0.5), rig.said)
    made, before = rig.order(fixer, backend), rig.rules_of(backend)
    with Path(lock.XTABLES).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if backend == "nft":  # which does not know this lock
            assert fixer.apply(made).state == "applied"
            return
        began = time.monotonic()
        with refused("lock-busy"):
            fixer.apply(made)
        assert time.monotonic() - began >= 0.5
        assert rig.rules_of(backend) == before
    assert lease.our_sets() == ()
    assert fixer.apply(rig.order(fixer, backend)).state == "applied"


def case_a_full_disk_refuses_before_the_kernel_is_touched(backend: str) -> None:
    STATE_DIR.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "full", str(STATE_DIR)], check=True)
    try:
        Path(STATE_DIR, "filler").write_bytes(b"x" * 60 * 1024)
        with Path(STATE_DIR, "more").open("wb", buffering=0) as more:
            try:
                while True:
                    more.write(b"x" * 512)
            except OSError:
                pass
        fixer, before = rig.fixer(twin=rig.said), rig.saved(backend)
        with refused("no-disk"):
            fixer.apply(rig.order(fixer, backend))
        assert rules_alone(rig.saved(backend)) == rules_alone(before)
        assert lease.our_sets() == ()
    finally:
        subprocess.run(["umount", "-l", str(STATE_DIR)], check=True)


def case_a_read_only_state_directory_refuses(backend: str) -> None:
    STATE_DIR.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=700", "ro", str(STATE_DIR)], check=True)
    try:
        fixer = rig.fixer(twin=rig.said)
        with refused("no-disk"):
            fixer.apply(rig.order(fixer, backend))
        assert rig.ours(backend) == []
    finally:
        subprocess.run(["umount", "-l", str(STATE_DIR)], check=True)


def case_a_state_directory_behind_a_link_is_refused(backend: str) -> None:
    STATE_DIR.symlink_to("/run/lab/cni")
    try:
        fixer = rig.fixer(twin=rig.said)
        with refused("no-disk"):
            fixer.apply(rig.order(fixer, backend))
    finally:
        STATE_DIR.unlink()


def case_a_journal_that_is_damaged_ends_its_fix(backend: str) -> None:
    fixer, chance = rig.fixer(twin=rig.said), random.Random(5)
    for _ in range(10):
        fix = fixer.apply(rig.order(fixer, backend))
        path = Path(STATE_DIR, f"{fix.id}.fix")
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        rig.fixer(twin=rig.said).sweep()
        assert rig.ours(backend) == [], bytes(data)
        assert lease.our_sets() == ()


def case_another_boot_ends_it(backend: str) -> None:
    fixer = rig.fixer(twin=rig.said)
    fix = fixer.apply(rig.order(fixer, backend))
    real, lease.boot_id = lease.boot_id, lambda: "another"
    try:
        fixer.sweep()
    finally:
        lease.boot_id = real
    assert rig.state_of(fix) == "lost-on-reboot"
    assert rig.ours(backend) == []


def case_a_clock_that_is_set_ends_it(backend: str) -> None:
    for seconds in (-86400, 86400, -10):
        fixer = rig.fixer(twin=rig.said)
        fix = fixer.apply(rig.order(fixer, backend))
        real = lease.now
        lease.now = lambda seconds=seconds, real=real: replace(real(), wall=real().wall + seconds)
        try:
            fixer.sweep()
        finally:
            lease.now = real
        assert rig.state_of(fix) == ("expired" if seconds > 60 else "reverted"), rig.state_of(fix)
        assert rig.ours(backend) == []


def case_the_set_ends_it_where_the_clock_does_not(backend: str) -> None:
    """A stop time in the far future, as after a clock was set back: the set's element is gone all the same."""
    pod, fixer = rig.Pod(), rig.fixer(twin=rig.said)
    real, lease.stop_after = lease.stop_after, lambda moment, _seconds: int(moment.wall) + 7200
    try:
        fixer.apply(rig.order(fixer, backend, 2))
    finally:
        lease.stop_after = real
    assert pod.gets_through()
    rig.until(time.time() + 3.2)
    assert not pod.gets_through()


def case_without_ipset_the_stop_time_ends_it(backend: str) -> None:
    pod, fixer = rig.Pod(), rig.fixer(twin=rig.said)
    real, lease.create_set = lease.create_set, lambda *_: False
    try:
        fix = fixer.apply(rig.order(fixer, backend, 2))
    finally:
        lease.create_set = real
    assert fix.set_name == ""
    assert pod.gets_through()
    rig.until(fix.ends + 1.1)
    assert not pod.gets_through()


def case_a_kernel_with_neither_is_refused(backend: str) -> None:
    def no_time(request: object) -> object:
        insert = request.insert  # type: ignore[attr-defined]
        if insert is not None and "--datestop" in insert.spec:
            return replace(rig.said(request), not_modelled=("the rule could not be inserted: no such match",))  # type: ignore[arg-type]
        return rig.said(request)  # type: ignore[arg-type]

    fixer = rig.fixer(twin=no_time)  # type: ignore[arg-type]
    real, lease.create_set = lease.create_set, lambda *_: False
    try:
        with refused("no-lease", "xt_time"):
            fixer.apply(rig.order(fixer, backend))
        with refused("no-lease", "stays"):  # this one does not
            fixer.apply(rig.order(fixer, backend, kind=rig.LeaseKind.AGENT))
    finally:
        lease.create_set = real
    assert rig.ours(backend) == []


def case_a_humans_rule_is_never_taken_out(backend: str) -> None:
    mine = ("-s", rig.FLOW.source, "-d", f"{NODE.address}/32", "-p", "tcp", "--dport", "10251", "-j", "ACCEPT")
    rig.iptables(backend, "-I", "INPUT", "1", *mine)
    rig.iptables(backend, "-I", "INPUT", "1", "-m", "comment", "--comment", "kubereach", *mine)
    rig.iptables(backend, "-I", "INPUT", "1", "-m", "comment", "--comment", "kubereach:0123456789ab", *mine)
    before = rig.rules_of(backend)
    fixer = rig.fixer(twin=rig.said)
    fix = fixer.apply(rig.order(fixer, backend, 1))
    rig.until(fix.ends + 1.1)
    fixer.sweep()
    assert rig.rules_of(backend) == before


def case_a_restored_copy_is_dead_and_swept(backend: str) -> None:
    pod, fixer = rig.Pod(), rig.fixer(twin=rig.said)
    pristine = rig.saved(backend)
    fix = fixer.apply(rig.order(fixer, backend, 1))
    copy = rig.saved(backend).replace(f" -m set --match-set {fix.set_name} src", "")
    rig.until(fix.ends + 1.1)
    fixer.sweep()
    subprocess.run([f"iptables-{backend}-restore", "-w"], input=copy, text=True, check=True)
    assert len(rig.ours(backend)) == 1
    assert not pod.gets_through()
    fixer.sweep()
    assert rules_alone(rig.saved(backend)) == rules_alone(pristine)


def case_a_reload_is_noticed_and_put_back_three_times_where_asked(backend: str) -> None:
    pristine = rig.saved(backend)
    for put_back in (False, True):
        fixer = rig.fixer(twin=rig.said)
        fix = fixer.apply(rig.order(fixer, backend, put_back=put_back))
        for number in range(sweep.MOST_PUTS + 1 if put_back else 1):
            subprocess.run([f"iptables-{backend}-restore", "-w"], input=pristine, text=True, check=True)
            fixer.sweep()
            assert len(rig.ours(backend)) == (1 if put_back and number < sweep.MOST_PUTS else 0), number
        assert rig.state_of(fix) == "clobbered"


def case_the_watch_notices_within_two_seconds(backend: str) -> None:
    fixer, pristine = rig.fixer(twin=rig.said), rig.saved(backend)
    rig.in_background(fixer.watch)
    fix = fixer.apply(rig.order(fixer, backend))
    time.sleep(1.5)  # it is at work
    for _ in range(1):
        subprocess.run([f"iptables-{backend}-restore", "-w"], input=pristine, text=True, check=True)
        time.sleep(4)  # two on an idle machine
        assert rig.state_of(fix) == "clobbered"


def case_open_connections_outlive_it_unless_they_are_cut(backend: str) -> None:
    for cut in (False, True):
        fixer = rig.fixer(twin=rig.said)
        fix = fixer.apply(rig.order(fixer, backend, cut_flows=cut))
        code = (
            "import socket, sys\n"
            f"sock = socket.create_connection(('{NODE.address}', 10250))\n"
            "print('open', flush=True)\n"
            "sys.stdin.readline()\n"
            "sock.settimeout(1)\n"
            "sock.sendall(b'not TLS at all, so that the server answers or hangs up\\n\\n')\n"
            "try:\n"
            "    print('answered', len(sock.recv(100)) >= 0)\n"
            "except TimeoutError:\n"
            "    print('silent')\n"
            "except OSError as error:\n"
            "    print('answered' if error.errno == 104 else 'silent', error)\n"
        )
        argv = ["nsenter", f"--net={WEB.namespace}", sys.executable, "-c", code]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout
            assert client.stdin
            assert client.stdout.readline() == "open\n"
            fixer.revert(by(fix.id))
            client.stdin.write("go\n")
            client.stdin.flush()
            answer = client.stdout.read().split()[0]
        assert answer == ("silent" if cut else "answered"), (cut, answer)
        rig.forget_state()


def case_the_audit_log_tells_of_a_changed_byte(backend: str) -> None:
    fixer = rig.fixer(twin=rig.said)
    for _ in range(4):
        fixer.revert(by(fixer.apply(rig.order(fixer, backend)).id))
    path = Path(STATE_DIR, "audit.jsonl")
    data = path.read_bytes()
    assert fixer.audit().problem == ""
    chance = random.Random(7)
    for _ in range(100):
        place = chance.randrange(len(data) - 1)
        changed = bytearray(data)
        changed[place] = (changed[place] + 1) % 128
        path.write_bytes(changed)
        record = data[:place].count(b"\n") + 1
        assert f"record {record}" in fixer.audit().problem or f"{record} " in fixer.audit().problem, (place, fixer.audit())
    path.write_bytes(data[: data.rindex(b"\n", 0, -1) + 1])
    assert "missing" in fixer.audit().problem
    path.write_bytes(data)
    assert fixer.audit().problem == ""


def case_intent_is_respected(backend: str) -> None:
    for words in (
        ("-p", "tcp", "--dport", "10250", "-j", "DROP"),
        ("-s", "10.244.0.0/16", "-j", "REJECT"),
        ("-i", "cni0", "-j", "DROP"),
        ("-p", "tcp", "-m", "multiport", "--dports", "10250,10255", "-j", "REJECT"),
    ):
        rig.iptables(backend, "-I", "INPUT", "1", *words)
        fixer = rig.fixer(twin=rig.said)
        ground = fixer.ground(operations.GroundArguments(backend, 4, "INPUT"))
        made = rig.order(fixer, backend)
        with refused("guard", "looks meant"):
            fixer.apply(replace(made, place=replace(made.place, before=ground.rules[0])))
        rig.iptables(backend, "-D", "INPUT", "1")
    assert rig.ours(backend) == []


def case_an_accept_that_cannot_help_is_not_tried(backend: str) -> None:
    """Another base chain drops as well: the broker's own twin says so, and nothing is written."""
    drop = "ip saddr 10.244.4.0/24 tcp dport 10250 drop"
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


def case_without_leave_nothing_is_done(backend: str) -> None:
    made = rig.order(rig.fixer(twin=rig.said), backend)
    fixer = rig.fixer(replace(rig.SETTINGS, allow_fix=False), rig.said)
    for ask in (
        lambda: fixer.apply(made),
        lambda: fixer.verified(by(made.id)),
        lambda: fixer.confirm(operations.ConfirmArguments(made.id, 60, "test")),
        lambda: fixer.revert(by(made.id)),
        fixer.sweep,
    ):
        with refused("guard", "--allow-fix"):
            ask()
    assert rig.ours(backend) == []
    assert not STATE_DIR.exists()


def case_the_lock_is_never_held_for_long(backend: str) -> None:
    """With 10,000 rules, by somebody who only watches: ours is held for one comparison and one commit."""
    if backend == "nft":
        return
    rules = "".join(f"-A BIG -s 10.{n // 250}.{n % 250}.1/32 -p tcp -m tcp --dport 80 -j ACCEPT\n" for n in range(10000))
    subprocess.run(
        ["iptables-legacy-restore", "--noflush"], input=f"*filter\n:BIG - [0:0]\n{rules}COMMIT\n", text=True, check=True
    )
    held: list[float] = []
    real = lock._take

    def take(descriptor: int, wait: float, who: str) -> None:
        real(descriptor, wait, who)
        if "iptables" in who:
            held.append(-time.monotonic())

    close = os.close

    def closing(descriptor: int) -> None:
        close(descriptor)
        if held and held[-1] < 0:
            held[-1] += time.monotonic()

    fixer = rig.fixer(twin=rig.said)
    lock._take = take
    lock.os.close = closing
    try:
        for _ in range(5):
            fixer.revert(by(fixer.apply(rig.order(fixer, backend)).id))
    finally:
        lock._take, lock.os.close = real, close
    print(f"held for {[round(1000 * seconds, 1) for seconds in held]} ms", file=sys.stderr)
    assert len(held) >= 10


def case_fuzzed_requests_get_no_rule_outside_the_guards(backend: str) -> None:
    """10,000 requests straight to the broker, each a good one with something changed: no other rule."""
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
    chance, good = random.Random(10250), to_plain(rig.order(answers.fixer, backend))
    pristine, allowed = rig.rules_of(backend), 0
    for number in range(10000):
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
            assert flow == rig.FLOW or flow.source.startswith("10.244.4."), line
            assert (flow.destination, flow.port, found["chain"]) == (NODE.address, 10250, "INPUT"), line
            allowed += 1
        rig.forget_state()
    assert allowed, "not even a good request got through: this proves nothing"
    assert rig.rules_of(backend) == pristine


WILD: tuple[object, ...] = (
    *("", "0.0.0.0/0", "::/0", "0.0.0.0/1", "10.0.0.0/8", "10.244.4.0/24", "10.244.4.7/32", "10.244.0.0/16"),
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


def rules_alone(text: str) -> list[str]:
    """A save without its remarks and counters."""
    return [line.split(" [")[0] for line in text.splitlines() if line[:1] in ("*", ":", "-")]


def main(backend: str, only: str = "") -> dict[str, str]:
    """Runs every case, or those whose name has a word in it."""
    pristine, found = rig.saved(backend), {}
    for name, case in sorted(CASES.items()):
        if only and only not in name:
            continue
        try:
            case(backend)
            found[name] = ""
        except Exception:  # noqa: BLE001  whatever it is, it is this case's answer
            found[name] = traceback.format_exc()
        rig.forget_state()
        subprocess.run([f"iptables-{backend}-restore", "-w"], input=pristine, text=True, check=True)
        subprocess.run(
            ["sh", "-c", "nft delete table ip unrelated; nft delete table ip flap"], capture_output=True, check=False
        )
        for left in lease.our_sets():
            lease.destroy_set(left)
    return found


CASES: dict[str, Case] = {
    name.removeprefix("case_"): case for name, case in list(globals().items()) if name.startswith("case_")
}

if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
