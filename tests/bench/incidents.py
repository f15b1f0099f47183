"""Every basic incident: how long its diagnosis takes, asked back to back, as scripts do, and with a pause, as people do."""

import time

from agent.lab.incidents import firewall
from tests.bench.client import Client
from tests.bench.results import Effort, Row
from tests.bench.sampling import Measure, milliseconds
from tests.bench.world import staged

_WARM_UP, _PAUSE = 2, 1.2


def measure(effort: Effort) -> Row:
    """Medians of the whole request. The others differ in their rules, not in what it costs to read them."""
    measures: list[Measure] = []
    for incident in firewall.INCIDENTS:
        for backend in incident.backends:
            with staged(incident.name, backend) as world:
                client = world.client()
                for _ in range(_WARM_UP):
                    client.diagnose()
                for asked, pause in (("back to back", 0.0), (f"{_PAUSE:g} s apart", _PAUSE)):
                    values = tuple(_one(client, pause) for _ in range(effort.rounds))
                    measures.append(Measure(subject=f"{incident.name}, {backend}, {asked}", unit="ms", values=values))
    return Row(id="incidents", what="POST /v1/diagnoses of each basic incident", measures=tuple(measures))


def _one(client: Client, pause: float) -> float:
    time.sleep(pause)
    return milliseconds(client.diagnose)
