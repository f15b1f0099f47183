"""DEL for a container whose namespace is gone: a namespace that looks like it, for as long as the plugins need to be satisfied.

Specification and plugins allow for a namespace that does not exist, and then forget half: the bridge plugin, for one, finds the
masquerading rules that it made by the addresses on the container's interface (plugins/main/bridge, cmdDel).
"""

import ctypes
import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_interface
from threading import Thread, get_native_id
from typing import Any

from agent.host import command
from agent.host.phantom import cni

_CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)


def delete(joint: cni.Joint, result: dict[str, Any]) -> None:
    """`cni.delete`, with a thread's own namespace in place of the one that is gone. Raises `CniError`."""
    command.prepare()  # programs start where we are, not where the thread goes
    errors: list[BaseException] = []

    def work() -> None:
        try:
            _delete(joint, result)
        except BaseException as error:  # noqa: BLE001  whatever it is, it is raised again in the caller's thread
            errors.append(error)

    thread = Thread(target=work, name="stand-in")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def _delete(joint: cni.Joint, result: dict[str, Any]) -> None:
    if _libc.unshare(_CLONE_NEWNET) != 0:
        raise cni.CniError(f"no namespace could stand in for the one that is gone: {os.strerror(ctypes.get_errno())}")
    netns = f"/proc/{os.getpid()}/task/{get_native_id()}/ns/net"
    lines = [f"link add {cni.INTERFACE} type veth peer name peer", *(_address(text) for text in _addresses(result))]
    done = command.run(("nsenter", f"--net={netns}", "--", "ip", "-batch", "-"), "\n".join((*lines, "")).encode())
    if done.status != 0:
        said = done.problem or " ".join(done.stderr.decode(errors="replace").split())
        raise cni.CniError(f"no interface could stand in for the one that is gone: {said}")
    cni.delete(replace(joint, netns=netns), result)


def _address(text: str) -> str:
    return f"addr add {text} dev {cni.INTERFACE}" + (" nodad" if ":" in text else "")


def _addresses(result: dict[str, Any]) -> Iterator[str]:
    """The addresses of a result (specification, section 5: `ips[].address`), those that are any."""
    ips = result.get("ips", [])
    for entry in ips if isinstance(ips, list) else []:
        try:
            yield str(ip_interface(entry["address"]))
        except (KeyError, TypeError, ValueError):
            continue
