"""P10: a fix applied and tried, beside one `iptables -I` and iptables-apply, with many rules elsewhere."""

import json
import os
from collections.abc import Callable

from agent.lab.topology import NODE
from agent.model.ruleset import Backend
from tests.bench.client import Client
from tests.bench.references import tool
from tests.bench.results import Claim, Effort, NotMeasured, Row, rules_of
from tests.bench.sampling import Measure, interleave, milliseconds
from tests.bench.world import World, environment, perform, staged

_FLOW = ("-s", "10.244.4.0/24", "-d", NODE.address, "-p", "tcp", "--dport", "10250", "-j", "ACCEPT")
_PLACE = 6  # before the REJECT that ends the chain on stage
_LINKS = "/run/lab/bin"
# iptables-apply saves and loads everything: with 100,000 rules of nft half a minute each time.
_MOST_LOADED = 1250


def measure(effort: Effort) -> Row:
    """POST /v1/fixes for a plan just made; guards, twin, journal, the change, reading it back and a connect are in it."""
    measures: list[Measure] = []
    claims: list[Claim] = []
    lost: list[str] = []
    for backend in (Backend.NFT, Backend.LEGACY):
        for services in effort.services[-2:]:
            subject = f"kubereach, {backend} {rules_of(services)}"
            try:
                found = _beside(backend, services, subject, effort)
            except NotMeasured as error:
                lost.append(f"{subject}: {error}")
                continue
            measures += found
            ours, insert = found[:2]
            claims.append(Claim(words=f"{subject} / iptables -I", value=ours.median / insert.median, limit=1.5, ratio=True))
    if not measures:
        raise NotMeasured("; ".join(lost))
    return Row(
        id="P10",
        what="one rule put in and tried",
        measures=tuple(measures),
        claims=tuple(claims),
        lost=tuple(lost),
        note="iptables -I tries nothing, holds no guard and takes nothing back; iptables-apply loads the whole file again",
    )


def _beside(backend: Backend, services: int, subject: str, effort: Effort) -> list[Measure]:
    with staged("centos-reject", backend, allow_fix=True, front="tests.bench.patient_front", rules=services) as world:
        insert, apply = (f"{name}, {backend} {rules_of(services)}" for name in ("iptables -I", "iptables-apply"))
        subjects = {subject: _fixing(world.client()), insert: _inserting(world, backend)}
        if services <= _MOST_LOADED:
            subjects[apply] = _applying(world, backend)
        return interleave(subjects, effort.rounds)


def _fixing(client: Client) -> Callable[[], float]:
    def fix() -> float:
        plan = _answer(client, "POST", "/v1/plans")
        found: dict[str, object] = {}
        took = milliseconds(lambda: found.update(_answer(client, "POST", "/v1/fixes", {"plan": plan["id"]})))
        _answer(client, "DELETE", f"/v1/fixes/{found['id']}")
        return took

    return fix


def _answer(client: Client, method: str, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
    status, content = client.ask(method, path, body)
    answer: dict[str, object] = json.loads(content)
    if status >= 300:
        raise NotMeasured(f"{method} {path.split('/')[2]}: HTTP {status}, {answer.get('detail')}")
    return answer


def _inserting(world: World, backend: Backend) -> Callable[[], float]:
    def insert() -> float:
        took = milliseconds(lambda: world.on_node(f"iptables-{backend}", "-w", "-I", "INPUT", str(_PLACE), *_FLOW))
        world.on_node(f"iptables-{backend}", "-w", "-D", "INPUT", *_FLOW)
        return took

    return insert


def _applying(world: World, backend: Backend) -> Callable[[], float]:
    """iptables-apply with the running rules and ours, confirmed at once; it finds the backend's tools by their plain names."""
    program, saved = tool("iptables-apply"), world.on_node(f"iptables-{backend}-save")
    lines = saved.splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("-A INPUT") and "REJECT" in line)
    lines.insert(last, f"-A INPUT {' '.join(_FLOW)}")
    plain = [f"ln -sfn {tool(f'iptables-{backend}{verb}')} {_LINKS}/iptables{verb}" for verb in ("", "-save", "-restore")]
    world.on_node("sh", "-ec", f"mkdir -p {_LINKS}; {'; '.join(plain)}; cat > /run/lab/wanted", stdin="\n".join([*lines, ""]))
    given = {**environment(), "PATH": f"{_LINKS}:{os.environ['PATH']}:/usr/sbin:/sbin"}

    argv = [*world.entering(), program, "-t", "60", "/run/lab/wanted"]

    def apply() -> float:
        took = milliseconds(lambda: perform(argv, "y\n", given))
        world.on_node(f"iptables-{backend}", "-w", "-D", "INPUT", *_FLOW)
        return took

    return apply
