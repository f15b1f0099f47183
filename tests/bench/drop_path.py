"""P2: from the request to the rule that drops, proved by its counter."""

from typing import Any

from agent.model.ruleset import Backend
from tests.bench import references
from tests.bench.results import Claim, Effort, NotMeasured, Row
from tests.bench.sampling import interleave, milliseconds
from tests.bench.stages import Stages
from tests.bench.world import staged

_EACH = 3


def measure(effort: Effort) -> Row:
    """POST /v1/diagnoses where the policy drops, beside a probe that can only wait for its deadline."""
    stages = Stages()
    with staged("drop-policy", Backend.NFT) as world, references.blackbox(world) as (exporter, _):
        client = world.client()

        def diagnose() -> float:
            return milliseconds(lambda: stages.keep(_proved(client.diagnose())))

        def probe() -> float:
            return milliseconds(lambda: references.probe(exporter, open_path=False))

        diagnose(), probe()
        stages.clear()
        measures = interleave({"kubereach": diagnose, "blackbox_exporter": probe}, effort.rounds, _EACH)
    worst = measures[0].worst
    return Row(
        id="P2",
        what="DROP: until the rule is named and its counter has proved it (nft)",
        measures=tuple(measures),
        claims=(Claim(words=f"slowest of {len(measures[0].values)}", value=worst, limit=5.0, unit="ms"),),
        stages=stages.medians(),
        note="both wait for a connect's deadline of 1 s",
    )


def _proved(report: dict[str, Any]) -> dict[str, Any]:
    cause = report["findings"][0]["witnesses"] if report["findings"] else {}
    if report["state"] != "blocked" or cause.get("counters") != "agrees":
        raise NotMeasured(f"the counters did not prove the drop: {report['summary']}")
    return report
