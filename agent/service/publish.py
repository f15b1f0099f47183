"""Starts what the cluster hears from us: a connection, this node's name, a thread for its object and one for its fixes."""

import logging
import random
from threading import Event, Thread

from agent.cluster.connection import ClusterError, Connection, connect, node_name
from agent.cluster.events import Events
from agent.cluster.reaches import Reaches
from agent.model.fix import Transition
from agent.model.reach import Reach
from agent.model.settings import Settings
from agent.service.announcing import Announcer
from agent.service.answering import Answering, newest_fix
from agent.service.clock import Clock
from agent.service.diagnoses import Diagnoses
from agent.service.fixes import Fixing
from agent.service.publishing import Publisher, run

_log = logging.getLogger(__name__)
# A cluster's configuration may be put in place after us.
_RETRY = 30.0


def publish(settings: Settings, diagnoses: Diagnoses, fixing: Fixing, clock: Clock) -> Event:
    """Publishes in a thread of its own until the event that is returned is set. What fails is logged and tried again."""
    ended = Event()
    Thread(target=_publish, args=(settings, diagnoses, fixing, clock, ended), name="publisher", daemon=True).start()
    return ended


def _publish(settings: Settings, diagnoses: Diagnoses, fixing: Fixing, clock: Clock, ended: Event) -> None:
    node = node_name(settings.node_name)
    connection = _connect(ended)
    if connection is None:
        return
    events = Events(connection)

    def tell(reach: Reach) -> None:
        try:
            events.tell(reach, clock.now(), clock.new_id())
        except ClusterError as error:  # the object says it, too; an Event that is lost is not worth a second write of it
            _log.warning("the transition was not told as an Event: %s", error)

    def tell_fix(transition: Transition) -> None:
        events.tell_fix(node, transition, clock.now())

    announcer = Announcer(tell_fix, fixing.all, clock)
    fixing.told = announcer.note
    Thread(target=announcer.run, args=(ended,), name="announcer", daemon=True).start()

    look = Answering(node, diagnoses, lambda: newest_fix(fixing), clock)
    run(Publisher(node, Reaches(connection), tell=tell, look=look, clock=clock, chance=random.random), ended)


def _connect(ended: Event) -> Connection | None:
    """A connection, as soon as there is a configuration; None when it ended before."""
    told = ""
    while not ended.is_set():
        try:
            return connect()
        except ClusterError as error:
            if str(error) != told:
                told = str(error)
                _log.warning("nothing is published yet: %s", told)
        ended.wait(_RETRY)
    return None
