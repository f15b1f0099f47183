"""Whether the rule that stops a packet has counted it already: then nobody waits for a connect's deadline to know why."""

from agent.analysis.diagnosis.places import same_place
from agent.analysis.diagnosis.rivals import surely_stopping
from agent.analysis.path import blame
from agent.analysis.path.explain import explain
from agent.analysis.readers.late import repeat
from agent.analysis.readers.read import read_firewall
from agent.model.capture import Firewall
from agent.model.packet import Packet


def is_counted_as_stopped(before: Firewall, between: Firewall, packet: Packet) -> bool:
    """Whether these rules surely stop the packet or its answer, and one that does so has counted something in between.

    False where the rules changed in between, or where it is not known.
    """
    ruleset = read_firewall(before)
    stopping = surely_stopping(explain(ruleset, packet))
    if not stopping:
        return False
    later = read_firewall(between)
    if not blame.same_shape(ruleset, later, repeat):
        return False
    return any(same_place(each.rule, one) for each in blame.moved(ruleset, later, repeat) for one in stopping)
