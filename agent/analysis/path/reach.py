"""Which chains packets can come to: those that have to be read before the walk can answer for these packets.

More chains than a packet comes to cost time and change no answer; for one too few the walk ends in an unread chain and is
UNDECIDED. Chains that were not read are taken to rewrite nothing: whoever asks reads what is missing and asks again, until
nothing is, and then this was so for all of the chains that count.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain as chained

from agent.analysis.path.answer import answer_to
from agent.analysis.path.explain import HOOKS, Way
from agent.analysis.path.hooks import base_chains, base_of, uses_conntrack
from agent.analysis.path.losses import REWRITTEN, Place, find_losses
from agent.analysis.path.match import Value, read_fields, rules_out
from agent.analysis.path.partition import Network
from agent.analysis.path.spans import Span
from agent.model.packet import Field, Packet
from agent.model.ruleset import Chain, Hook, Ruleset, Statement, Table, Translate, Unclear, VerdictMap

# What a rule can ask of a packet on its way in and on its way out, and is known before any rule has seen it.
_ALWAYS = (Field.NFPROTO, Field.PROTOCOL, Field.SADDR, Field.DADDR, Field.SPORT, Field.DPORT)
_IN = (*_ALWAYS, Field.IIF, Field.MARK)
_BELOW = (Hook.INGRESS, Hook.EGRESS)


@dataclass(frozen=True, slots=True)
class Asked:
    """A packet that goes some way; with `sources` also the same packet from every address there."""

    packet: Packet
    way: Way = Way.TO_NODE
    sources: Network | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Chains to read, as (family, table, name); `everything` where the answer hangs on rules that may stand anywhere."""

    chains: frozenset[tuple[str, str, str]]
    everything: bool = False


def find_unread(ruleset: Ruleset, asked: Sequence[Asked]) -> Wanted:
    """What is not read of `ruleset` and may count for one of these packets or for its answer."""
    met = {place for each in asked for place in _met(ruleset, each)}
    chains = frozenset(
        (table.family, table.name, chain.name)
        for number, table in enumerate(ruleset.tables)
        for chain in table.chains
        if chain.unread and (Place(number, chain.name) in met or _is_below(table))
    )
    return Wanted(chains, everything=not chains and any(_hangs_on_all(ruleset, each) for each in asked))


def _met(ruleset: Ruleset, asked: Asked) -> Iterator[Place]:
    packet, hooks = asked.packet, HOOKS[asked.way]
    span = _span(asked)
    # Behind the first hooks it has no incoming device that rules could see.
    known = _known(packet, _IN if asked.way is Way.TO_NODE else _ALWAYS, {Field.SADDR: span})
    met = find_losses(ruleset, hooks, packet.version, known)
    yield from met
    answer = answer_to(packet)
    if answer is None or asked.way not in (Way.TO_NODE, Way.FROM_HOST):
        return
    ends = _known(answer, _ALWAYS, {Field.DADDR: span})
    if _may_translate(ruleset, met, known):
        ends |= dict.fromkeys(REWRITTEN)
    back = HOOKS[asked.way] if asked.way is Way.FROM_HOST else HOOKS[Way.REPLY]
    yield from find_losses(ruleset, back, packet.version, ends)


def _known(packet: Packet, names: Sequence[Field], instead: Mapping[Field, Value]) -> dict[Field, Value]:
    fields = read_fields(packet, delivered=True)
    return {**dict.fromkeys(fields), **{name: fields[name] for name in names}, **instead}


def _span(asked: Asked) -> Span:
    source = int(asked.packet.source)
    if asked.sources is None:
        return Span(source, source)
    return Span(min(source, int(asked.sources[0])), max(source, int(asked.sources[-1])))


def _may_translate(ruleset: Ruleset, met: Mapping[Place, frozenset[Field]], known: Mapping[Field, Value]) -> bool:
    for place, lost in met.items():
        found = ruleset.tables[place.table].chain(place.chain)
        fields = {**known, **dict.fromkeys(lost)}
        for rule in found.rules if found else ():
            if any(map(_translates, rule.statements)) and not rules_out(rule.statements, fields):
                return True
    return False


def _translates(statement: Statement) -> bool:
    """Whether it is NAT, or a map with an end that nobody can tell: that may change a packet, too."""
    if isinstance(statement, VerdictMap):
        return any(isinstance(verdict, Unclear) for _, verdict in statement.entries)
    return isinstance(statement, Translate)


def _is_below(table: Table) -> bool:
    """Whether chains of it see frames below IP: then the whole table is looked at."""
    return any(_sees_frames(table, chain) for chain in table.chains)


def _sees_frames(table: Table, chain: Chain) -> bool:
    return chain.base is not None and (table.family in ("netdev", "bridge") or chain.base.hook in _BELOW)


def _hangs_on_all(ruleset: Ruleset, asked: Asked) -> bool:
    """Whether the packet meets nat chains, and no rule that was read tells that conntrack is at work: any other may."""
    version = asked.packet.version
    hooks = dict.fromkeys(chained(HOOKS[asked.way], HOOKS[Way.REPLY]))
    meets = any(base_of(chain).kind == "nat" for hook in hooks for _, chain in base_chains(ruleset, hook, version))
    return meets and not uses_conntrack(ruleset, version)
