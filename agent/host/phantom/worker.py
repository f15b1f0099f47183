"""The phantom itself: a process in a network namespace of its own, which dies with it, for as long as its channel is open.

`python -m agent.host.phantom.worker JSON CHANNEL`. It makes the namespace, has CNI or the bridge connect it, says what came of
it, and waits. Whatever then happens, its guardian has CNI take back what it gave; what is in the namespace goes with it.
"""

import ctypes
import json
import os
import secrets
import select
import socket
import sys
import time
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path

from agent.host import command, rtnetlink
from agent.host.guardian import Guardian
from agent.host.phantom import bridge, cni, makers, records
from agent.model.capture import Interface
from agent.model.codec import from_plain, to_plain
from agent.model.phantom import Phantom, PhantomEnd, PhantomRequest
from agent.model.settings import Settings

# A look takes seconds; a phantom that nobody ends ends by itself.
_LIFE = 60.0
_CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Lives until the channel is shut from the other side, or for a minute."""
    given = json.loads(sys.argv[1])
    request, settings = from_plain(PhantomRequest, given["request"]), from_plain(Settings, given["settings"])
    channel = socket.socket(fileno=int(sys.argv[2]))
    os.set_inheritable(channel.fileno(), False)
    container = f"kubereach-phantom-{secrets.token_hex(6)}"
    place = records.where(settings.state_dir, container)
    # First of all, while there is one thread: a fork that outlives us.
    guardian = Guardian(lambda: records.settle(place))
    made = _Phantom(request, settings, container)
    _tell(channel, to_plain(made.make()))
    select.select([channel], [], [], _LIFE)
    made.let_go()
    guardian.release()
    left = f"its CNI network did not take it back, which is tried again at the next start ({place})" if place.exists() else ""
    _tell(channel, to_plain(PhantomEnd(problem=left)))


class _Phantom:
    def __init__(self, request: PhantomRequest, settings: Settings, container: str) -> None:
        self._request, self._settings, self._container = request, settings, container
        self._maker = makers.myself()
        self._record: records.Record | None = None

    def make(self) -> Phantom:
        started = time.monotonic()
        with rtnetlink.Reader() as reader:
            links = reader.interfaces()
        command.prepare()  # from now on programs start where we were
        if _libc.unshare(_CLONE_NEWNET) != 0:
            return Phantom(
                problem=f"no network namespace could be made: {os.strerror(ctypes.get_errno())}; this needs SYS_ADMIN"
            )
        notes = []
        for way in (self._by_cni, lambda: self._by_bridge(links)):
            try:
                how = way()
                address = self._address()
            except (cni.CniError, bridge.BridgeError, OSError) as error:
                notes.append(str(error))
                continue
            if address:
                inode = Path("/proc/self/ns/net").stat().st_ino
                seconds = time.monotonic() - started
                return Phantom(namespace=inode, address=address, how=how, notes=tuple(notes), seconds=seconds)
            notes.append(f"{how} gave it no address of {', '.join(self._request.pod_cidrs)}")
        return Phantom(problem="; ".join(notes), seconds=time.monotonic() - started)

    def let_go(self) -> None:
        """The record is the guardian's."""
        if self._record is not None:
            self._record.let_go()
            self._record = None

    def _take_back(self) -> None:
        place = records.where(self._settings.state_dir, self._container)
        self.let_go()
        with suppress(cni.CniError):  # the guardian tries once more, and whoever starts next
            records.settle(place)

    def _by_cni(self) -> str:
        network = cni.find_network(self._settings.cni_dirs, self._settings.cni_bin_dirs)
        joint = cni.Joint(network=network, container=self._container, netns=self._maker.netns)
        try:
            self._record = records.Record(self._settings.state_dir, joint, self._maker)
        except OSError as error:
            raise cni.CniError(f"what CNI gives could not be written down ({error}), so it was not asked") from error
        try:
            cni.add(joint, self._record.note)
        except cni.CniError:
            self._take_back()  # while the namespace is as CNI left it
            raise
        return network.words

    def _by_bridge(self, links: tuple[Interface, ...]) -> str:
        found = bridge.find_bridge(links, self._request.pod_cidrs)
        self._clear()
        bridge.plug_in(found, os.getpid())
        from agent.host.phantom import arp  # noqa: PLC0415  a third of a second that CNI does not cost

        own = _mac()
        for address in bridge.candidates(found, self._request.pod_cidrs, self._request.taken):
            if arp.is_free(bridge.INTERFACE, own, address):
                bridge.settle_down(found, os.getpid(), address)
                return f"bridge {found.name}, an address that nobody answers for"
        raise bridge.BridgeError(f"every address that was tried on {found.name} is somebody's")

    def _clear(self) -> None:
        """CNI may have left an interface half done."""
        with rtnetlink.Reader() as reader:
            left = [link.name for link in reader.interfaces() if link.name == bridge.INTERFACE]
        for name in left:
            command.run(("nsenter", f"--net={self._maker.netns}", "--", "ip", "link", "del", name))

    def _address(self) -> str:
        networks = [ip_network(text, strict=False) for text in self._request.pod_cidrs]
        with rtnetlink.Reader() as reader:
            held = [text.split("/")[0] for link in reader.interfaces() for text in link.addresses]
        usable = [text for text in held if not ip_address(text).is_loopback and not ip_address(text).is_link_local]
        inside = [text for text in usable if any(ip_address(text) in network for network in networks)]
        return next(iter(inside if networks else usable), "")


def _mac() -> str:
    """Our interface's address, asked of a socket: /sys shows the namespace that it was mounted in."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
        link.bind((bridge.INTERFACE, 0))
        raw: bytes = link.getsockname()[4]
        return raw.hex(":")


def _tell(channel: socket.socket, value: object) -> None:
    try:
        channel.sendall(json.dumps(value).encode() + b"\n")
    except OSError:  # nobody listens any more: the guardian does the rest
        return


if __name__ == "__main__":
    main()
