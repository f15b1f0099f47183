"""`explain` and `rules`: the firewall, live or out of files. Out of files they need neither root nor a node."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from agent.analysis.path.explain import explain as walk_and_explain
from agent.analysis.readers.read import RefusedInput, read_texts
from agent.cli import live
from agent.cli.failures import UnreadableError
from agent.cli.options import Format, Output, with_settings
from agent.cli.output import show
from agent.model.exitcode import ExitCode
from agent.model.explanation import Verdict
from agent.model.ruleset import Ruleset
from agent.model.settings import Settings
from agent.render import chains, text
from agent.service.explaining import explain_live
from agent.service.input_path import narrow, read_live, trace_path
from agent.service.question import Question, parse_packet

RulesetFiles = Annotated[
    list[Path] | None,
    typer.Option("--ruleset", help="Rules out of a file: iptables-save, ip6tables-save or `nft -j list ruleset`; repeatable."),
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
    src: Annotated[str, typer.Option("--src", help="The packet's source address.")],
    dst: Annotated[str, typer.Option("--dst", help="Its destination, taken as an address of this node.")],
    in_: Annotated[str, typer.Option("--in", help="The interface it comes in by; not given: unknown.")] = "",
    proto: Annotated[str, typer.Option("--proto", help="Protocol, by name or number.")] = "tcp",
    dport: Annotated[str, typer.Option("--dport", help="Destination port.")] = "",
    sport: Annotated[str, typer.Option("--sport", help="Source port.")] = "",
    ctstate: Annotated[str, typer.Option("--ctstate", help="Connection-tracking state.")] = "NEW",
    local: Annotated[list[str] | None, typer.Option("--local", help="A further address of this node; repeatable.")] = None,
    mark: Annotated[str, typer.Option("--mark", help="The packet's mark, decimal or 0x hexadecimal.")] = "",
    ruleset: RulesetFiles = None,
    output: Output = Format.TEXT,
) -> None:
    """Walk one packet through the firewall and name the rule that decides about it."""
    question = Question(
        src=src, dst=dst, in_=in_, proto=proto, sport=sport, dport=dport, ctstate=ctstate, local=tuple(local or ()), mark=mark
    )
    packet = parse_packet(question)
    if ruleset:
        explanation = walk_and_explain(_read_files(ruleset), packet)
    else:
        with closing(live.attach(settings)) as host:
            explanation = explain_live(host, question)
    show(explanation, output, lambda wide: text.explanation(explanation, wide=wide))
    raise typer.Exit(_CODES[explanation.verdict])


@with_settings
def rules(
    settings: Settings,
    ruleset: RulesetFiles = None,
    ipv6: Annotated[bool, typer.Option("--ipv6", "-6", help="The rules for IPv6; data output has both.")] = False,
    output: Output = Format.TEXT,
) -> None:
    """Show the rules that a packet to this node meets, in the kernel's order."""
    if ruleset:
        found = _read_files(ruleset)
    else:
        with closing(live.attach(settings)) as host:
            found = read_live(host)
    show(trace_path(found), output, lambda _: chains.rules(narrow(found), 6 if ipv6 else 4))
    if found.unread and not found.tables:
        raise UnreadableError(f"no rules could be read: {'; '.join(found.unread)}")


def _read_files(files: list[Path]) -> Ruleset:
    """The rules in these files together. Raises `UnreadableError`, `OSError`."""
    # Rule comments may hold any bytes; they come out as they went in, and renderers make them harmless.
    texts = [(str(file), file.read_bytes().decode(errors="surrogateescape")) for file in files]
    try:
        return read_texts(texts)
    except RefusedInput as error:
        raise UnreadableError(str(error)) from error
