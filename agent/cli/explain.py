"""`explain` and `rules`: the firewall, live or out of files. Out of files they need neither root nor a node."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from agent.analysis.path.explain import Way, explain_way
from agent.analysis.path.partition import explain_sources
from agent.analysis.readers.read import RefusedInput, read_texts
from agent.cli.failures import UnreadableError
from agent.cli.options import Format, Output, with_settings
from agent.cli.output import show
from agent.model.exitcode import ExitCode
from agent.model.explanation import Explanation, Verdict
from agent.model.ruleset import Ruleset
from agent.model.settings import Settings
from agent.render import chains, text
from agent.render.twin import twin as twin_text
from agent.service.question import BadQuestionError, Question, parse_packet
from agent.service.sources import split_sources

_WAYS = (Way.TO_NODE, Way.FORWARD, Way.FROM_HOST)
RulesetFiles = Annotated[
    list[Path] | None,
    typer.Option("--ruleset", help="Rules out of a file: iptables-save, ip6tables-save or `nft -j list ruleset`; repeatable."),
]


def _parse_way(text: str) -> Way:
    if text not in _WAYS:
        raise typer.BadParameter(f"{text!r} is no way: write one of {', '.join(_WAYS)}.")
    return Way(text)


PacketWay = Annotated[
    Way,
    typer.Option(
        "--way", parser=_parse_way, metavar="|".join(_WAYS), help="To this node, forwarded by it, or from this host to itself."
    ),
]
IpsetFiles = Annotated[
    list[Path] | None,
    typer.Option("--ipset", help="The ipsets that those rules ask for, out of a file: `ipset save`; repeatable."),
]
_CODES = {
    Verdict.ACCEPT: ExitCode.FINE,
    Verdict.DROP: ExitCode.PROBLEM,
    Verdict.REJECT: ExitCode.PROBLEM,
    Verdict.UNDECIDED: ExitCode.UNDECIDED,
}


@with_settings
def explain(  # noqa: PLR0913 - one parameter for each word of the packet
    settings: Settings,
    *,
    src: Annotated[str, typer.Option("--src", help="The packet's source address, or a network of them.")],
    dst: Annotated[str, typer.Option("--dst", help="Its destination, by --way an address of this node or not.")],
    in_: Annotated[str, typer.Option("--in", help="The interface it comes in by; not given: unknown.")] = "",
    proto: Annotated[str, typer.Option("--proto", help="Protocol, by name or number.")] = "tcp",
    dport: Annotated[str, typer.Option("--dport", help="Destination port.")] = "",
    sport: Annotated[str, typer.Option("--sport", help="Source port.")] = "",
    ctstate: Annotated[str, typer.Option("--ctstate", help="Connection-tracking state.")] = "NEW",
    local: Annotated[list[str] | None, typer.Option("--local", help="A further address of this node; repeatable.")] = None,
    mark: Annotated[str, typer.Option("--mark", help="The packet's mark, decimal or 0x hexadecimal.")] = "",
    way: PacketWay = Way.TO_NODE,
    out: Annotated[str, typer.Option("--out", help="The interface it leaves by, or its answer; not given: unknown.")] = "",
    ruleset: RulesetFiles = None,
    ipset: IpsetFiles = None,
    what_if: Annotated[
        str, typer.Option("--what-if", help="A rule to try in a throwaway namespace: 'CHAIN POSITION SPEC', as iptables -I.")
    ] = "",
    output: Output = Format.TEXT,
) -> None:
    """Walk one packet through the firewall and name the rule that decides about it."""
    question = Question(
        src=src,
        dst=dst,
        in_=in_,
        proto=proto,
        sport=sport,
        dport=dport,
        ctstate=ctstate,
        local=tuple(local or ()),
        mark=mark,
        out=out,
    )
    single, sources = split_sources(question, alone=way is not Way.TO_NODE or bool(what_if))
    packet = parse_packet(single)
    _check_way(way, question, what_if)
    files = _read_files(ruleset or [], ipset or [])
    if ruleset and what_if:
        raise typer.BadParameter("a rule is tried on a node only: leave --ruleset out.", param_hint="--what-if")
    if files:
        explanation = explain_sources(files, packet, sources) if sources else explain_way(files, packet, way)
    else:
        from agent.cli import live  # noqa: PLC0415 - out of a file nothing live is needed, and a fifth of the start saved
        from agent.service.explaining import explain_live  # noqa: PLC0415 - likewise

        with closing(live.attach(settings)) as host:
            explanation = explain_live(host, question, live.CLOCK, way=way, twin=settings.twin, what_if=what_if)
    tried = twin_text(explanation.twin, inserted=bool(what_if)) if explanation.twin else ""
    show(explanation, output, lambda wide: text.explanation(explanation, wide=wide) + tried)
    raise typer.Exit(_CODES[_outcome(explanation)])


@with_settings
def rules(
    settings: Settings,
    ruleset: RulesetFiles = None,
    ipset: IpsetFiles = None,
    ipv6: Annotated[bool, typer.Option("--ipv6", "-6", help="The rules for IPv6; data output has both.")] = False,
    output: Output = Format.TEXT,
) -> None:
    """Show the rules that a packet to this node meets, in the kernel's order."""
    from agent.service.input_path import narrow, read_live, trace_path  # noqa: PLC0415 - `explain` needs none of it

    files = _read_files(ruleset or [], ipset or [])
    if files:
        found = files
    else:
        from agent.cli import live  # noqa: PLC0415 - see above

        with closing(live.attach(replace(settings, twin=False))) as host:
            found = read_live(host)
    path = trace_path(found)
    show(path, output, lambda _: chains.rules(narrow(found), 6 if ipv6 else 4, path.remarks, path.notes))
    if found.unread and not found.tables:
        raise UnreadableError(f"no rules could be read: {'; '.join(found.unread)}")


def _check_way(way: Way, question: Question, what_if: str) -> None:
    """Raises `BadQuestionError` for words that make no sense for a packet that goes this way."""
    for name, device in (("in", question.in_), ("out", question.out)):
        if way is Way.FROM_HOST and device not in ("", "lo"):
            raise BadQuestionError(name, f"{name} {device} is not on the way from this host to itself: leave it out.")
    if what_if and way is not Way.TO_NODE:
        raise BadQuestionError("what-if", "what-if tries packets to this node only: leave --way out.")


def _outcome(explanation: Explanation) -> Verdict:
    """What becomes of the connection: a packet that is let in and never answered is no success."""
    reply = explanation.reply
    return explanation.verdict if explanation.verdict is not Verdict.ACCEPT or reply is None else reply.verdict


def _read_files(rules: list[Path], ipsets: list[Path]) -> Ruleset | None:
    """The rules in these files together, None where there are none. Raises `UnreadableError`, `OSError`."""
    if ipsets and not rules:
        raise typer.BadParameter("the node's own sets are read by themselves: give --ruleset as well.", param_hint="--ipset")
    if not rules:
        return None
    try:
        return read_texts(_texts(rules), _texts(ipsets))
    except RefusedInput as error:
        raise UnreadableError(str(error)) from error


def _texts(files: list[Path]) -> list[tuple[str, str]]:
    # Rule comments may hold any bytes; they come out as they went in, and renderers make them harmless.
    return [(str(file), file.read_bytes().decode(errors="surrogateescape")) for file in files]
