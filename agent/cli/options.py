"""Flags that most commands share, declared once: everything in `Settings`, and how output looks.

Each flag can come from the environment as KUBEREACH_<FLAG>; flags that repeat are written there with blanks between the values.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Annotated, Any

import typer

from agent.model.settings import Settings

_DEFAULT = Settings()


class Format(StrEnum):
    """What `-o` takes. `wide` is text with every step, fact and timing."""

    TEXT = "text"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, typer.Option("-o", "--output", help="How the answer is written.")]


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the flags of `Settings` in place of its parameter `settings`, but for those of fixes."""
    return _with(command, _settings)


def with_fix_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The same with all flags: for commands that may change something where the operator lets them."""
    return _with(command, _settings, _fix_settings)


def _with(command: Callable[..., None], *makers: Callable[..., Any]) -> Callable[..., None]:
    own = [parameter for parameter in inspect.signature(command).parameters.values() if parameter.name != "settings"]
    shared = [inspect.signature(maker).parameters for maker in makers]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        flags = [{name: given.pop(name) for name in parameters} for parameters in shared]
        settings = _settings(**flags[0])
        for maker, values in zip(makers[1:], flags[1:], strict=True):
            settings = replace(settings, **maker(**values))
        command(settings=settings, **given)

    flags = (parameter for parameters in shared for parameter in parameters.values())
    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *flags)]
    run.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]  # what inspect documents; functions have it
    return run


def _option(flag: str, text: str, **more: Any) -> Any:
    variable = "KUBEREACH_" + flag.strip("-").replace("-", "_").upper()
    return typer.Option(flag, envvar=variable, help=text, show_default=False, **more)


def _settings(  # noqa: PLR0913 - one parameter for each flag
    *,
    node_name: Annotated[str, _option("--node-name", "This node's name in the cluster.")] = "",
    node_ip: Annotated[list[str] | None, _option("--node-ip", "An address of this node; repeatable.")] = None,
    pod_cidr: Annotated[list[str] | None, _option("--pod-cidr", "This node's pod network; repeatable.")] = None,
    peer: Annotated[list[str] | None, _option("--peer", "Another node's address, to compare with; repeatable.")] = None,
    kubelet_port: Annotated[int | None, _option("--kubelet-port", "The kubelet's port.", min=1, max=65535)] = None,
    cni_dir: Annotated[list[str] | None, _option("--cni-dir", "Where CNI configurations are; repeatable.")] = None,
    etc_dir: Annotated[list[str] | None, _option("--etc-dir", "Where the node's /etc is; repeatable.")] = None,
    netns_dir: Annotated[list[str] | None, _option("--netns-dir", "Where network namespaces are mounted; repeatable.")] = None,
    connect_timeout: Annotated[
        float, _option("--connect-timeout", "Seconds to wait for a connect.", min=0.05, max=30)
    ] = _DEFAULT.connect_timeout,
    twin: Annotated[
        bool,
        typer.Option(
            "--twin/--no-twin",
            envvar="KUBEREACH_TWIN",
            help="Try the packet in a throwaway namespace with the same rules, too.",
        ),
    ] = _DEFAULT.twin,
    publish: Annotated[
        bool,
        typer.Option("--publish", envvar="KUBEREACH_PUBLISH", help="`serve` keeps this node's answer in the cluster, too."),
    ] = _DEFAULT.publish,
) -> Settings:
    return Settings(
        node_name=node_name,
        node_ips=_checked("--node-ip", node_ip, ip_address, "an IP address such as 172.31.16.124"),
        pod_cidrs=_checked("--pod-cidr", pod_cidr, ip_network, "a network such as 10.244.4.0/24"),
        peers=_checked("--peer", peer, ip_address, "an IP address such as 172.31.22.159"),
        kubelet_port=kubelet_port,
        cni_dirs=tuple(cni_dir or _DEFAULT.cni_dirs),
        etc_dirs=tuple(etc_dir or _DEFAULT.etc_dirs),
        netns_dirs=tuple(netns_dir or _DEFAULT.netns_dirs),
        connect_timeout=connect_timeout,
        twin=twin,
        publish=publish,
    )


def _fix_settings(
    *,
    allow_fix: Annotated[
        bool,
        typer.Option("--allow-fix", envvar="KUBEREACH_ALLOW_FIX", help="Let kubereach change the firewall, under its guards."),
    ] = _DEFAULT.allow_fix,
    state_dir: Annotated[
        str, _option("--state-dir", f"Where fixes are written down ({_DEFAULT.state_dir}).")
    ] = _DEFAULT.state_dir,
    trial: Annotated[
        int, _option("--trial", "Seconds that a fix lasts unless it is confirmed (60).", min=1, max=3600)
    ] = _DEFAULT.trial,
    lock_wait: Annotated[
        float, _option("--lock-wait", "Seconds to wait for another program's iptables lock (5).", min=0, max=20)
    ] = _DEFAULT.lock_wait,
) -> dict[str, Any]:
    return {"allow_fix": allow_fix, "state_dir": state_dir, "trial": trial, "lock_wait": lock_wait}


def _checked(flag: str, texts: list[str] | None, parse: Callable[[str], object], what: str) -> tuple[str, ...]:
    for text in texts or ():
        try:
            parse(text)
        except ValueError as error:
            raise typer.BadParameter(f"{text!r} is not {what}.", param_hint=flag) from error
    return tuple(texts or ())
