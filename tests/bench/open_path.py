"""P1 and P3: a request whose pod gets through, beside blackbox_exporter's probe, and with ever more rules elsewhere."""

from contextlib import ExitStack
from typing import Any

from agent.lab.topology import NODE
from agent.model.ruleset import Backend
from tests.bench import references
from tests.bench.results import Claim, Effort, NotMeasured, Row, named, rules_of
from tests.bench.sampling import Measure, interleave, milliseconds
from tests.bench.stages import Stages
from tests.bench.world import World, staged

# A caller has thirty diagnoses in a row, then one a second (`agent.api.gate`).
_WARM_UP, _EACH = 2, 5


def measure(effort: Effort) -> Row:
    """P1: POST /v1/diagnoses against a tcp probe, in turn."""
    stages = Stages()
    with staged("healthy", Backend.NFT) as world, references.blackbox(world) as (exporter, _):
        client = world.client()

        def diagnose() -> float:
            return milliseconds(lambda: stages.keep(_open(client.diagnose())))

        def probe() -> float:
            return milliseconds(lambda: references.probe(exporter, open_path=True))

        def remembered() -> float:
            return milliseconds(lambda: client.ask("GET", "/v1/report"))

        for _ in range(_WARM_UP):
            diagnose(), probe(), remembered()
        stages.clear()
        subjects = {"kubereach": diagnose, "blackbox_exporter": probe, "kubereach, answer of the last 10 s": remembered}
        measures = interleave(subjects, effort.rounds, _EACH)
    ours, theirs, latest = measures
    return Row(
        id="P1",
        what="open path, the whole request: a probe and its explanation (nft)",
        measures=tuple(measures),
        claims=(Claim(words="p50 / blackbox_exporter's", value=ours.median / theirs.median, limit=1.5, ratio=True),),
        stages=stages.medians(),
        note=f"an answer of the last ten seconds is {latest.median / theirs.median:.1f} x blackbox_exporter's probe",
    )


def measure_growth(effort: Effort) -> Row:
    """P3: the same with rules elsewhere, as many labs at once as there are sizes; legacy beside iptables-legacy-save."""
    nft = _growth(Backend.NFT, effort)
    legacy, saves = _growth_and_save(effort)
    few, many = nft[0], nft[-1]
    ours, save = legacy[-1], saves[-1]
    return Row(
        id="P3",
        what="P1 with rules elsewhere, in kube-proxy's shape",
        measures=(*nft, *legacy, *saves),
        claims=(
            Claim(words=f"slowest of {many.subject} / of {few.subject}", value=many.worst / few.worst, limit=1.2, ratio=True),
            Claim(words=f"{ours.subject} / iptables-legacy-save", value=ours.median / save.median, limit=1.0, ratio=True),
        ),
        note="the 99th percentile of so few is the slowest",
    )


def _growth(backend: Backend, effort: Effort) -> list[Measure]:
    with ExitStack() as stack:
        subjects = {}
        for services in effort.services:
            world = stack.enter_context(staged("healthy", backend, rules=services))
            subjects[f"{backend}, {rules_of(services)}"] = _diagnosing(world)
        return interleave(subjects, effort.rounds)


def _growth_and_save(effort: Effort) -> tuple[list[Measure], list[Measure]]:
    with ExitStack() as stack:
        subjects, names = {}, []
        for services in effort.services:
            world = stack.enter_context(staged("healthy", Backend.LEGACY, rules=services))
            names.append((f"legacy, {rules_of(services)}", f"iptables-legacy-save, {rules_of(services)}"))
            subjects[names[-1][0]] = _diagnosing(world)
            subjects[names[-1][1]] = _saving(world)
        found = interleave(subjects, effort.rounds)
    return [named(found, ours) for ours, _ in names], [named(found, theirs) for _, theirs in names]


def _diagnosing(world: World) -> Any:
    client = world.client()
    _open(client.diagnose())
    return lambda: milliseconds(lambda: _open(client.diagnose()))


def _saving(world: World) -> Any:
    return lambda: milliseconds(lambda: world.on_node("iptables-legacy-save", "-c"))


def _open(report: dict[str, Any]) -> dict[str, Any]:
    """The report, if it says what was staged. A quick wrong answer is worth nothing."""
    if report["state"] != "reachable":
        raise NotMeasured(f"the diagnosis of an open {NODE.name} was: {report['summary']}")
    return report
