"""`kubereach fix`: plan, apply, confirm, revert, list, audit verify. Without --allow-fix only plans are made."""

import getpass
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from agent.cli import live
from agent.cli.failures import UnreadableError
from agent.cli.options import Format, Output, with_fix_settings
from agent.cli.output import show
from agent.model import plan as plans
from agent.model.codec import from_plain
from agent.model.exitcode import ExitCode
from agent.model.plan import LEASE, LONGEST_LEASE, LeaseKind, Plan
from agent.model.settings import Settings
from agent.render import fixes as render
from agent.service.collect import collect
from agent.service.fixes import Fixing, Wishes

fix = typer.Typer(name="fix", no_args_is_help=True, help="Open what is closed by mistake: one rule that ends by itself.")
audit = typer.Typer(name="audit", no_args_is_help=True, help="The log of everything that fixes did.")
fix.add_typer(audit)

Name = Annotated[str, typer.Argument(metavar="ID", help="The fix, as `fix list` names it.")]


@fix.command()
@with_fix_settings
def plan(settings: Settings, output: Output = Format.TEXT) -> None:
    """Make a plan: the one rule, where it goes, what it changes and how it ends. Changes nothing."""
    with _fixing(settings) as fixing:
        made = fixing.plan()
    show(made, output, lambda _: render.plan(made))


@fix.command()
@with_fix_settings
def apply(  # noqa: PLR0913, PLR0917 - one parameter for each flag
    settings: Settings,
    file: Annotated[
        Path | None, typer.Option("--plan", help="A plan that `fix plan -o json` wrote; without one a plan is made now.")
    ] = None,
    lease: Annotated[LeaseKind, typer.Option("--lease", help="Who ends it: the kernel itself, or a kubereach that stays.")] = (
        LeaseKind.KERNEL
    ),
    put_back: Annotated[
        bool, typer.Option("--put-back", help="Put it in again, 3 times, where a reload takes it out.")
    ] = False,
    cut_flows: Annotated[
        bool, typer.Option("--cut-flows", help="End the connections that it let in together with it.")
    ] = False,
    output: Output = Format.TEXT,
) -> None:
    """Put the rule in, try it with a connect from a pod, and leave it on trial. Needs --allow-fix."""
    with _fixing(settings) as fixing:
        made = _read(file) if file else fixing.plan()
        found = fixing.apply(made, _caller(), Wishes(kind=lease, put_back=put_back, cut_flows=cut_flows))
    show(found, output, lambda _: render.fix(found))


@fix.command()
@with_fix_settings
def confirm(
    settings: Settings,
    fix_id: Name,
    seconds: Annotated[int, typer.Option("--for", min=1, max=LONGEST_LEASE, help="Seconds from now.")] = LEASE,
    output: Output = Format.TEXT,
) -> None:
    """Have a fix on trial last. It can be done again before the end."""
    with _fixing(settings) as fixing:
        found = fixing.confirm(fix_id, _caller(), seconds)
    show(found, output, lambda _: render.fix(found))


@fix.command()
@with_fix_settings
def revert(settings: Settings, fix_id: Name, output: Output = Format.TEXT) -> None:
    """Take a fix out now. Of one that has ended already, say how."""
    with _fixing(settings) as fixing:
        found = fixing.revert(fix_id, _caller())
    show(found, output, lambda _: render.fix(found))


@fix.command("list")
@with_fix_settings
def list_fixes(settings: Settings, output: Output = Format.TEXT) -> None:
    """List fixes, newest first; those whose time is up are ended on the way."""
    with _fixing(settings) as fixing:
        found = fixing.all()
    show(found, output, lambda _: render.fixes(found.fixes, found.problems))


@audit.command()
@with_fix_settings
def verify(settings: Settings, output: Output = Format.TEXT) -> None:
    """Check that no record of the audit log was changed, cut out or lost. Exit code 1 where one was."""
    with _fixing(settings) as fixing:
        found = fixing.audit()
    show(found, output, lambda _: f"{found.records} records hold{'; ' + found.problem if found.problem else ''}\n")
    raise typer.Exit(ExitCode.PROBLEM if found.problem else ExitCode.FINE)


@contextmanager
def _fixing(settings: Settings) -> Iterator[Fixing]:
    host = live.attach(settings)
    try:
        yield Fixing(
            host, settings, live.CLOCK, lambda: collect(host, settings, live.CLOCK, senses=live.SENSES), live.SENSES.probe
        )
    finally:
        host.close()


def _read(file: Path) -> Plan:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{file} is not JSON ({error}): give a file that `kubereach fix plan -o json` wrote.") from error
    if not isinstance(data, dict) or data.get("schema") != plans.SCHEMA:
        raise UnreadableError(f"{file} is no plan: give a file that `kubereach fix plan -o json` wrote.")
    return from_plain(Plan, data)


def _caller() -> str:
    """Who asks, for the audit log: the user, and whom they came from by sudo."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    origin = os.environ.get("SUDO_USER", "")
    caller = f"{name} (sudo by {origin})" if origin else name
    return "".join(letter for letter in caller if " " <= letter <= "~")[:200]
