"""Starts what the cluster hears from us: a connection, this node's name, a thread for its object and one for its fixes."""

import logging
import random
from dataclasses import dataclass
from functools import partial
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
from agent.service.failures import EVENT, Failures
from agent.service.fixes import Fixing
from agent.service.publishing import Publisher, run

_log = logging.getLogger(__name__)
# A cluster's configuration may be put in place after us.
_RETRY = 30.0


def publish(settings: Settings, diagnoses: Diagnoses, fixing: Fixing, clock: Clock, failures: Failures) -> Event:
    """Publishes in a thread of its own until the event that is returned is set. What fails is logged, counted, tried again."""
    work = _Work(node_name(settings.node_name), diagnoses, fixing, clock, failures, Event())
    Thread(target=work.run, name="publisher", daemon=True).start()
    return work.ended


@dataclass(frozen=True, slots=True)
class _Work:
    node: str
    diagnoses: Diagnoses
    fixing: Fixing
    clock: Clock
    failures: Failures
    ended: Event

    def run(self) -> None:
        connection = _connect(self.ended)
        if connection is None:
            return
        events = Events(connection)
        announcer = Announcer(partial(self._tell_fix, events), self.fixing.all, self.clock)
        self.fixing.told = announcer.note
        Thread(target=announcer.run, args=(self.ended,), name="announcer", daemon=True).start()
        publisher = Publisher(
            self.node,
            Reaches(connection),
            tell=partial(self._tell, events),
            look=Answering(self.node, self.diagnoses, lambda: newest_fix(self.fixing), self.clock),
            clock=self.clock,
            chance=random.random,
            failed=self.failures.note,
        )
        run(publisher, self.ended)

    def _tell(self, events: Events, reach: Reach) -> None:
        try:
            events.tell(reach, self.clock.now(), self.clock.new_id())
        except ClusterError as error:  # the object says it, too; an Event that is lost is not worth a second write of it
            self.failures.note(EVENT)
            _log.warning("the transition was not told as an Event: %s", error)

    def _tell_fix(self, events: Events, transition: Transition) -> None:
        try:
            events.tell_fix(self.node, transition, self.clock.now())
        except ClusterError:
            self.failures.note(EVENT)
            raise


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
