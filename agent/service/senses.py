"""What a look uses beside the host: the connect, the question to a name server, Kubernetes, and waiting."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.cluster.node import read_node
from agent.host.probe import probe
from agent.host.resolver import ask
from agent.service.host import Asker, NodeReader, Prober


@dataclass(frozen=True, slots=True)
class Senses:
    """How a connect is made, how Kubernetes is asked, how time passes. Tests give others."""

    probe: Prober = probe
    read_node: NodeReader = read_node
    ask: Asker = ask
    pause: Callable[[float], None] = time.sleep
