"""The node under this command: starts a broker with the command's own privileges, and ends it with the command."""

from contextlib import closing

from agent.host.client import Broker
from agent.model.capture import Capture
from agent.model.settings import Settings
from agent.service.asking import Progress
from agent.service.clock import SystemClock
from agent.service.host import Host
from agent.service.senses import Senses

SENSES = Senses()
CLOCK = SystemClock()


def attach(settings: Settings) -> Host:
    """The node. The caller closes it. Raises `HostError`."""
    return Broker.start(settings)


def look(settings: Settings, progress: Progress | None = None) -> Capture:
    """One capture. `progress` hears of each stage as it ends. Raises `HostError` when there is no looking at all."""
    with closing(attach(settings)) as host:
        # The broker starts meanwhile: a tenth of a second, on a processor of its own.
        from agent.service.collect import collect  # noqa: PLC0415

        return collect(host, settings, CLOCK, progress, senses=SENSES)
