"""The name that metrics-server asks for: which questions its pod's resolver would put, and what their answers mean."""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.analysis.readers.resolv_conf import addresses_in_hosts, parse_resolv_conf
from agent.model.scrape import Asked, NameAnswer, NameLookup, PodFiles, Question

# Answers after which the next server is asked, and those of a server that cannot be talked to.
_DEAF = (NameAnswer.TIMEOUT, NameAnswer.UNREACHABLE, NameAnswer.NOT_TRIED)
_FAILED = (*_DEAF, NameAnswer.SERVFAIL, NameAnswer.REFUSED, NameAnswer.OTHER)


@dataclass(frozen=True, slots=True)
class NamePlan:
    """A name, the addresses that the pod's hosts file has for it, and otherwise whom to ask for which names, in order."""

    name: str
    from_hosts: tuple[str, ...] = ()
    full_names: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()


def plan_lookup(name: str, files: PodFiles) -> NamePlan:
    """How a Go program in that pod looks the name up: the hosts file first, then the name servers."""
    known = addresses_in_hosts(files.hosts, name)
    if known:
        return NamePlan(name, from_hosts=known)
    resolver = parse_resolv_conf(files.resolv_conf)
    return NamePlan(name, full_names=resolver.full_names(name), servers=resolver.servers)


def next_question(plan: NamePlan, asked: tuple[Asked, ...]) -> Question | None:
    """The question after those that were asked; None when the answer is there, or no server can be talked to.

    Go asks for A and AAAA at once; here AAAA is asked where a name has no A: the names that exist are the same.
    """
    for name in plan.full_names:
        for kind in ("A", "AAAA"):
            heard = [item for item in asked if (item.question.name, item.question.kind) == (name, kind)]
            last = heard[-1] if heard else None
            if last is None or (last.answer in _FAILED and len(heard) < len(plan.servers)):
                return Question(name=name, kind=kind, server=plan.servers[len(heard)])
            if last.answer is NameAnswer.FOUND or all(item.answer in _DEAF for item in heard):
                return None
            if last.answer is not NameAnswer.NO_DATA:
                break  # the name does not exist, or nobody knows: no other record of it will do
    return None


def go_error(lookup: NameLookup) -> str:
    """What Go says of a lookup that found nothing (net/dnsclient_unix.go, goLookupIPCNAMEOrder), as metrics-server logs it."""
    last = decisive(lookup)
    if last is None:
        return ""
    if last.answer is NameAnswer.TIMEOUT:
        return "context deadline exceeded"  # two tries of 5 s for the first name alone: the 10 s of a scrape end first
    server = last.question.server
    at = f"[{server}]:53" if ":" in server else f"{server}:53"
    words = {
        NameAnswer.NXDOMAIN: "no such host",
        NameAnswer.NO_DATA: "no such host",
        NameAnswer.UNREACHABLE: f"read udp ...->{at}: read: {last.detail}",
    }
    return f"dial tcp: lookup {lookup.name} on {at}: {words.get(last.answer, 'server misbehaving')}"


def decisive(lookup: NameLookup) -> Asked | None:
    """The answer that Go reports: that of the last name with a search domain, else of the plain name."""
    plain = f"{lookup.name.rstrip('.')}."
    searched = [item for item in lookup.asked if item.question.name != plain]
    return next(reversed(searched or lookup.asked), None)


def say_answers(lookup: NameLookup) -> Iterator[str]:
    """Each question and its answer, as evidence."""
    if lookup.from_hosts:
        yield f"the pod's hosts file says {lookup.name} is {', '.join(lookup.from_hosts)}"
    for item in lookup.asked:
        answer = ", ".join(item.addresses) or f"{item.answer}{f' ({item.detail})' if item.detail else ''}"
        yield f"{item.question.kind} {item.question.name} at {item.question.server}: {answer}, {item.seconds * 1000:.1f} ms"
